from pathlib import Path

import numpy as np
import pytest

from medseg.nnunet_bundle import plans
from medseg.nnunet_bundle.normalisation import normalise
from tests import nnunet_results as results


def normalised(voxels, scheme, *, masked=False):
    changes = {"normalization_schemes": [scheme], "use_mask_for_norm": [masked]}
    configuration = plans.parse(results.plans(**changes), "3d_fullres", where=Path())
    given = np.array(voxels, np.int16).reshape(1, -1, 1, 1)
    return normalise(given, configuration)[0, :, 0, 0]


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("CTNormalization", [-135 / 55, -95 / 55, 105 / 55, 165 / 55]),  # of -40, 0, 200, 260
        ("ZScoreNormalization", [-1, 1, 1, -1]),
        ("NoNormalization", [-100, 0, 200, 300]),
        ("RescaleTo01Normalization", [0, 0.25, 0.75, 1]),
        ("RGBTo01Normalization", [-100 / 255, 0, 200 / 255, 300 / 255]),
    ],
)
def test_every_scheme_of_nnunet_is_there(scheme, expected):
    given = [-100, 0, 200, 300]
    if scheme == "ZScoreNormalization":  # of mean 4 and deviation 5
        given = [-1, 9, 9, -1]
    np.testing.assert_allclose(normalised(given, scheme), expected, atol=1e-6)
    assert scheme in plans.SCHEMES


def test_outside_does_not_count_where_the_mask_is_used():
    found = normalised([0, 10, 30, 0], "ZScoreNormalization", masked=True)
    np.testing.assert_allclose(found, [0, -1, 1, 0])


def test_zeros_that_are_enclosed_count():
    changes = {"use_mask_for_norm": [True]}
    configuration = plans.parse(results.plans(**changes), "3d_fullres", where=Path())
    voxels = np.zeros((1, 5, 5, 5), np.float32)
    voxels[0, 1:4, 1:4, 1:4] = 27
    voxels[0, 2, 2, 2] = 0  # mean 26
    found = normalise(voxels, configuration)
    assert found[0, 0, 0, 0] == 0
    assert found[0, 2, 2, 2] == pytest.approx(-26 / np.sqrt(26))
