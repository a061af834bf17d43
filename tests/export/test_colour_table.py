import numpy as np

from medseg.export import colour_table
from medseg.segmentation import Segmentation
from medseg.volume import Grid


def test_a_line_has_value_name_and_colour(tmp_path, hippocampus_task):
    nothing = Segmentation(
        np.zeros((2, 2, 2), np.uint8), Grid((2, 2, 2), np.eye(4)), hippocampus_task
    )
    colour_table.write(tmp_path / "a.ctbl", nothing)
    assert (tmp_path / "a.ctbl").read_text(encoding="utf-8") == (
        "# Color table file a.ctbl\n"
        "# 3 values\n"
        "0 Background 0 0 0 0\n"
        "1 Anterior_hippocampus 224 160 48 255\n"
        "2 Posterior_hippocampus 48 128 192 255\n"
    )
