"""Draw a scan, its reference and a prediction side by side: the picture in the README.

Usage: python docs/draw_result.py SCAN REFERENCE PREDICTION --task NAME -o PICTURE.png
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medseg import formats, task
from medseg.segmentation import Segmentation
from medseg.volume import Volume, to_ras


def main() -> None:
    """Read the three files and draw the sagittal slice with the most labelled voxels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scan", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("prediction", type=Path)
    parser.add_argument("--task", required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    chosen = task.read(given.task)
    scan = to_ras(formats.read(given.scan)).voxels[0]
    reference, prediction = (
        _upright(formats.read_segmentation(path, chosen))
        for path in (given.reference, given.prediction)
    )
    place = int((reference > 0).sum(axis=(1, 2)).argmax())
    figure = Figure(figsize=(8.4, 3.1), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    columns = (("Scan", None), ("Expert", reference), ("medseg", prediction))
    for axes, (title, labels) in zip(figure.subplots(1, 3), columns, strict=True):
        axes.imshow(scan[place].T, cmap="gray", origin="lower", interpolation="bicubic")
        axes.set_title(title)
        axes.set_axis_off()
        for label in chosen.labels.values() if labels is not None else ():
            mask = np.asarray(labels[place] == label.value, dtype=float)
            if mask.any():
                axes.contourf(mask.T, levels=[0.5, 1.5], colors=[label.colour], alpha=0.35)
                axes.contour(mask.T, levels=[0.5], colors=[label.colour], linewidths=2)
    figure.savefig(given.output, dpi=110)


def _upright(segmentation: Segmentation) -> np.ndarray:
    return to_ras(Volume(segmentation.label_map[None], segmentation.grid)).voxels[0]


if __name__ == "__main__":
    main()
