import numpy as np

from medseg.export import itk_snap
from medseg.segmentation import Segmentation
from medseg.volume import Grid


def test_a_line_has_value_colour_visibility_and_name(tmp_path, hippocampus_task):
    labels = dict(hippocampus_task.labels)
    labels["anterior"] = labels["anterior"].model_copy(update={"title": 'The "head"'})
    task = hippocampus_task.model_copy(update={"labels": labels})
    nothing = Segmentation(np.zeros((2, 2, 2), np.uint8), Grid((2, 2, 2), np.eye(4)), task)
    itk_snap.write(tmp_path / "a.label", nothing)
    assert (tmp_path / "a.label").read_text(encoding="utf-8").splitlines() == [
        '0 0 0 0 0 0 0 "Clear Label"',
        "1 224 160 48 1 1 1 \"The 'head'\"",
        '2 48 128 192 1 1 1 "Posterior hippocampus"',
    ]
