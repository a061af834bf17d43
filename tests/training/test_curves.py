"""The picture of a training."""

import nibabel  # noqa: F401 - pulls in what matplotlib needs, before warnings become errors
from matplotlib import image

from medseg.training import curves


def test_a_picture_is_drawn(tmp_path):
    rows = [
        {"seconds": 60.0 * n, "loss": 1 / n, "dice_mean": 0.1 * n, "dice_left": 0.1 * n}
        for n in range(1, 5)
    ]
    curves.draw(rows, tmp_path / "curves.png")
    pixels = image.imread(tmp_path / "curves.png")
    assert pixels.shape[0] > 200
    assert pixels.std() > 0.01


def test_without_rows_there_is_no_picture(tmp_path):
    curves.draw([], tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
