"""Pictures of patches and predictions."""

import numpy as np
import pytest
from PIL import Image

from medseg.data import store
from medseg.data.patches import Patches
from medseg.training import pictures


@pytest.fixture
def case(tmp_path):
    """Twelve by eight by eight voxels with a cube of label 1."""
    image = np.linspace(0, 1, 12 * 8 * 8, dtype=np.float32).reshape(1, 12, 8, 8)
    labels = np.zeros((12, 8, 8), np.uint8)
    labels[3:9, 2:6, 2:6] = 1
    return store.put(tmp_path / "cases", "a", image, labels)


def pixels_of(path):
    return np.asarray(Image.open(path))


def colour_of(label):
    return [int(label.colour[first : first + 2], 16) for first in (1, 3, 5)]


def drawn_in(pixels, label):
    return (pixels == colour_of(label)).all(axis=-1)


def test_eighteen_of_a_thousand_epochs_have_a_picture_the_first_three_among_them():
    assert [n for n in range(1, 101) if pictures.has_picture(n)] == [
        *(1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100),
    ]
    assert sum(pictures.has_picture(n) for n in range(1, 1001)) == 18


def test_the_reference_is_above_the_prediction(case, ct_task, tmp_path):
    path = tmp_path / "pictures" / "epoch_0001.png"
    nothing = np.zeros((12, 8, 8), np.uint8)
    pictures.draw_prediction(case, nothing, ct_task, (1.0, 1.0, 1.0), path)
    pixels = pixels_of(path)
    assert pixels.shape == (2 * 192, 3 * 192, 3)
    above, below = np.split(drawn_in(pixels, ct_task.labels["liver"]), 2)
    assert not below.any()
    for panel in np.split(above, 3, axis=1):
        assert panel.any()
    # Across k the picture is 192 of 12 voxels wide, so 16 pixels a voxel: the square's border.
    rows, columns = np.nonzero(above[:, 384:])
    assert (columns.min(), columns.max() + 1) == (3 * 16, 9 * 16)
    assert (rows.min(), rows.max() + 1) == (2 * 16, 6 * 16)
    assert len(rows) == 2 * (96 + 64) - 4


def test_thick_slices_are_drawn_at_their_thickness(case, ct_task, tmp_path):
    path = tmp_path / "p.png"
    pictures.draw_prediction(case, case.labels, ct_task, (1.0, 1.0, 3.0), path)
    above = drawn_in(pixels_of(path), ct_task.labels["liver"])[:192, 192:384]  # i across, k up
    rows, columns = np.nonzero(above)
    assert columns.max() + 1 - columns.min() == 6 * 8  # 24 mm in 192 pixels
    assert rows.max() + 1 - rows.min() == 4 * 3 * 8


def test_eight_patches_are_drawn_in_two_rows(case, ct_task, tmp_path):
    class Unchanged:
        def set_random_state(self, seed):
            pass

        def __call__(self, given):
            return given

    def patches(last):
        return Patches(
            [case], (8, 8, 8), Unchanged(), batch=3, foreground=1.0, seed=0, first=0, last=last
        )

    pictures.draw_patches(patches(9), ct_task, (1.0, 1.0, 1.0), tmp_path / "many.png")
    pixels = pixels_of(tmp_path / "many.png")
    assert pixels.shape == (2 * 192, 4 * 192, 3)
    assert drawn_in(pixels, ct_task.labels["liver"]).any()
    pictures.draw_patches(patches(1), ct_task, (1.0, 1.0, 1.0), tmp_path / "few.png")
    assert pixels_of(tmp_path / "few.png").shape == (2 * 192, 2 * 192, 3)
    pictures.draw_patches(patches(0), ct_task, (1.0, 1.0, 1.0), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
