import numpy as np

from medseg.inference import blending_loop


def test_some_planes_of_two_patches_are_added_where_they_belong(rng):
    total = rng.normal(size=(2, 5, 6, 40)).astype(np.float32)
    parts = [rng.normal(size=(2, 4, 5, 33)).astype(np.float32) for _ in range(2)]
    weight = rng.random((4, 5, 33), dtype=np.float32)
    share = rng.random((4, 6, 40), dtype=np.float32)
    expected = total.astype(np.float64)
    for part, (j, k) in zip(parts, [(0, 2), (1, 7)], strict=True):  # rows of 31: 16 and 15 voxels
        added = part[:, 1:3, 1:5, 1:32] * weight[1:3, 1:5, 1:32] * share[2:4, j : j + 4, k : k + 31]
        expected[:, 3:5, j : j + 4, k : k + 31] += added
    column = [array.reshape(-1, 1) for array in (total, *parts, weight, share)]
    blending_loop.add(
        column[0],
        np.array(total.shape),
        (column[1], column[2], column[2], column[2]),
        2,
        column[3],
        column[4],
        np.array([*weight.shape, *share.shape]),
        np.array([[(2, 0, 2), (2, 1, 7)], [(1, 0, 2), (1, 1, 7)]]),
        np.array([0, 1, 1]),
        np.array([3, 4, 31]),
        1,
        3,
    )
    np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-6)
