import numpy as np

from medseg.inference.blend_weight import along
from medseg.inference.blending_rows import across, rows


def test_a_row_of_two_patches_is_cut_into_pieces():
    found = rows((3, 20), 20, "gaussian", 3, 40)
    assert found.length == 37
    assert found.firsts.tolist() == [0, 1, 3, 4]  # 3 to 18: the first; 19 to 34: both; 35 to 39
    assert found.owners.tolist() == [0, 0, 1, 1]
    assert found.shifts.tolist() == [0, 16, -1, 15]
    assert found.masks.tolist() == [0xFFFF, 0x000F, 0xFFFE, 0x001F]
    peak = along(20).numpy()
    expected = np.zeros((4, 16), np.float32)
    expected[0] = peak[:16]
    expected[1, :4] = peak[16:]
    expected[2, 1:] = peak[:15]
    expected[3, :5] = peak[15:]
    np.testing.assert_array_equal(found.weights.reshape(4, 16), expected)
    np.testing.assert_array_equal(found.floors.reshape(4, 16), (expected > 0) * np.float32(1e-3))


def test_a_part_of_a_patch_may_be_taken():
    found = rows((-4,), 20, "nnunet", 2, 9)
    assert (found.length, found.shifts.tolist(), found.masks.tolist()) == (7, [6], [0x7F])
    np.testing.assert_array_equal(found.weights[:7], along(20, "nnunet").float()[6:13])


def test_voxels_outside_a_patch_do_not_count():
    found = across([0, 3, 9], 4, "gaussian", 2, 8)
    expected = np.zeros((3, 6), np.float32)
    expected[0, :2] = along(4)[2:]
    expected[1, 1:5] = along(4)
    np.testing.assert_array_equal(found, expected)
