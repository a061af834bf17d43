"""The compiled loops beside plain NumPy, on arrays where every length and offset is another."""

import numpy as np
import pytest

from medseg.inference import blending_loop
from medseg.inference.blend_weight import along, weight
from medseg.inference.blending_rows import across, rows

PATCH = (4, 5, 33)


def numbers(*values):
    return np.array(values)


@pytest.mark.parametrize("count", [1, 3])
def test_some_planes_of_patches_are_added_where_they_belong(rng, count):
    total = rng.normal(size=(2, 5, 6, 60)).astype(np.float32)
    parts = [rng.normal(size=(2, *PATCH)).astype(np.float32) for _ in range(count)]
    starts = (2, 9, 26)[:count]
    expected = total.astype(np.float64)
    counts = weight(PATCH, "nnunet").numpy()
    for part, k in zip(parts, starts, strict=True):
        expected[:, 3:5, 1:5, k : k + 33] += part[:, 2:4, 1:5] * counts[2:4, 1:5]
    held = tuple(parts[min(n, count - 1)].reshape(-1) for n in range(4))
    blending_loop.add(
        total.reshape(-1),
        np.array(total.shape),
        held,
        np.array(PATCH),
        *(along(size, "nnunet").float().numpy() for size in PATCH[:2]),
        rows(starts, 33, "nnunet", 2, starts[-1] + 33),
        numbers(2, 1, 2),
        numbers(1, 1, 0),
        numbers(3, 4, 33),
        1,
        3,
    )
    np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("blend", ["gaussian", "nnunet"])
def test_sums_are_divided_by_all_weights_of_a_voxel(rng, blend):
    total = rng.normal(size=(2, 6, 8, 40)).astype(np.float32)
    starts = ([0, 2], [0, 3], [0, 7])
    weights = np.zeros((6, 8, 40))
    for i in starts[0]:
        for j in starts[1]:
            for k in starts[2]:
                weights[i : i + 4, j : j + 5, k : k + 33] += weight(PATCH, blend).numpy()
    expected = total.astype(np.float64)
    expected[:, 3:5] /= weights[2:4]
    blending_loop.divide(
        total.reshape(-1),
        np.array(total.shape),
        across(starts[0], 4, blend, 1, 4),  # of planes 1 to 3 of the image, the last two are taken
        across(starts[1], 5, blend, 0, 8),
        rows(tuple(starts[2]), 33, blend, 0, 40),
        numbers(2, 0, 0),
        1,
        3,
    )
    np.testing.assert_allclose(total, expected, rtol=1e-5)
