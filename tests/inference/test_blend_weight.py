import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map
from scipy import ndimage

from medseg.inference.blend_weight import along, weight


@pytest.mark.parametrize("patch", [(9, 9, 9), (5, 9, 17), (1, 7, 7), (16, 20, 6), (96, 96, 96)])
def test_the_weight_is_monais_gaussian(patch):
    expected = compute_importance_map(patch, mode="gaussian", sigma_scale=0.125)
    torch.testing.assert_close(weight(patch), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("patch", [(16, 20, 24), (8, 9, 30)])
def test_that_of_nnunet_is_a_dot_behind_the_middle_blurred(patch):
    dot = np.zeros(patch)
    dot[tuple(size // 2 for size in patch)] = 1
    blurred = ndimage.gaussian_filter(dot, [size / 8 for size in patch], mode="constant")
    found = weight(patch, "nnunet").numpy()
    np.testing.assert_allclose(found, blurred / blurred.max(), rtol=1e-4, atol=1e-8)
    assert found.min() > 0


@pytest.mark.parametrize("blend", ["gaussian", "nnunet"])
def test_the_middle_of_an_axis_counts_one_and_its_ends_little(blend):
    found = along(9, blend)
    assert found.argmax() == 4
    assert found[4] == 1
    assert found[0].item() == pytest.approx(np.exp(-0.5 * (4 / (9 / 8)) ** 2))
