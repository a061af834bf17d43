"""Scores of eight organs in a CT of 512x512x147 voxels beside other programs', on two cores.

Everything starts with two label maps and ends with the numbers.
"""

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from harness import Row, in_fresh_process, median_seconds, publish, rise_of_peak_bytes

from medseg import task as tasks
from medseg.evaluation.score import score_case
from medseg.segmentation import Segmentation
from medseg.task import Task
from medseg.volume import Grid

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # their imports warn of what their dependencies deprecate
    from medpy.metric import binary as medpy
    from monai import metrics as monai
    from surface_distance import metrics as surface_distance

THREADS = 2
SHAPE = (512, 512, 147)
SPACING_MM = (0.8, 0.8, 3.0)
TOLERANCE_MM = 2.0
CASE = f"8 organs, {'x'.join(map(str, SHAPE))} voxels of 0.8x0.8x3 mm"

ORGANS = [
    ((170, 200, 75), (90, 70, 40), (3, -2, 1)),
    ((340, 210, 90), (50, 45, 25), (-2, 3, 0)),
    ((190, 350, 60), (35, 30, 22), (2, 2, -1)),
    ((330, 350, 60), (35, 30, 22), (-3, 1, 1)),
    ((256, 290, 70), (14, 14, 60), (1, 1, 0)),
    ((300, 130, 95), (40, 35, 20), (4, 0, -1)),
    ((220, 120, 50), (20, 18, 10), (0, -3, 1)),
    ((256, 420, 40), (45, 40, 18), (2, -1, 1)),
]
"""Centre, radii and error of each ellipsoid, in voxels."""

Score = Callable[[np.ndarray, np.ndarray], object]


def label_maps() -> tuple[np.ndarray, np.ndarray]:
    """Draw the organs, and draw them again a few voxels away."""
    reference, prediction = np.zeros((2, *SHAPE), dtype=np.uint8)
    for value, (centre, radii, error) in enumerate(ORGANS, start=1):
        for label_map, moved in ((reference, (0, 0, 0)), (prediction, error)):
            middle = np.add(centre, moved)
            box = tuple(slice(max(c - r, 0), c + r + 1) for c, r in zip(middle, radii, strict=True))
            places = np.ogrid[box]
            away = [
                ((place - c) / r) ** 2 for place, c, r in zip(places, middle, radii, strict=True)
            ]
            label_map[box][sum(away) <= 1] = value
    return reference, prediction


def eight_organs() -> Task:
    """Make a task of eight labels."""
    hippocampus = tasks.read("hippocampus")
    label = next(iter(hippocampus.labels.values()))
    organs = {f"organ_{value}": label.model_copy(update={"value": value}) for value in range(1, 9)}
    return hippocampus.model_copy(update={"labels": organs, "tolerance_mm": TOLERANCE_MM})


def by_medseg(reference: np.ndarray, prediction: np.ndarray) -> object:
    """Compute all metrics there are."""
    task = eight_organs()
    grid = Grid(SHAPE, np.diag([*SPACING_MM, 1.0]))
    return score_case(
        "case", Segmentation(reference, grid, task), Segmentation(prediction, grid, task)
    )


def by_monai(reference: np.ndarray, prediction: np.ndarray) -> object:
    """Compute HD95 and surface Dice."""
    known, found = (
        torch.stack([torch.from_numpy(label_map == value) for value in range(9)])[None].float()
        for label_map in (reference, prediction)
    )
    spacing_mm = list(SPACING_MM)
    return (
        monai.compute_hausdorff_distance(found, known, percentile=95, spacing=spacing_mm),
        monai.compute_surface_dice(
            found, known, class_thresholds=[TOLERANCE_MM] * 8, spacing=spacing_mm
        ),
    )


def by_surface_distance(reference: np.ndarray, prediction: np.ndarray) -> object:
    """Compute HD95."""
    return [
        surface_distance.compute_robust_hausdorff(
            surface_distance.compute_surface_distances(
                reference == value, prediction == value, SPACING_MM
            ),
            95,
        )
        for value in range(1, 9)
    ]


def by_medpy(reference: np.ndarray, prediction: np.ndarray) -> object:
    """Compute HD95."""
    return [
        medpy.hd95(prediction == value, reference == value, SPACING_MM) for value in range(1, 9)
    ]


SCORES: dict[str, Score] = {
    "medseg": by_medseg,
    "monai (one-hot, HD95, surface Dice)": by_monai,
    "surface-distance (HD95)": by_surface_distance,
}


def memory(name: str) -> None:
    """Print by how many bytes one program raises the peak of memory."""
    given = label_maps()
    small = tuple(np.ascontiguousarray(label_map[::8, ::8, ::8]) for label_map in given)
    if name != "medseg":
        SCORES[name](*small)  # libraries allocate on first use
    print(rise_of_peak_bytes(lambda: SCORES[name](*given)))


def main() -> None:
    """Measure all; MedPy once, because it takes a minute."""
    given = label_maps()
    actions = {name: lambda score=score: score(*given) for name, score in SCORES.items()}
    seconds = median_seconds(actions, repeats=3)
    start = time.perf_counter()
    by_medpy(*given)
    seconds["MedPy (HD95)"] = time.perf_counter() - start
    rows = [Row(CASE, "all metrics, from label maps", "s", seconds.pop("medseg"), seconds)]
    mib = {name: int(in_fresh_process(__file__, name)) / 2**20 for name in SCORES}
    rows.append(Row(CASE, "rise of peak memory", "MiB", mib.pop("medseg"), mib))
    packages = ["numpy", "scipy", "monai", "surface-distance", "MedPy"]
    publish("metrics", rows, packages=packages, threads=THREADS)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # what they deprecate is no concern of this table
    torch.set_num_threads(THREADS)
    if len(sys.argv) > 1:
        memory(sys.argv[1])
    else:
        main()
