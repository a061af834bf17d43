"""A scan is segmented the same, however its axes are stored."""

import itertools

import numpy as np
import pytest
import torch
from nibabel.orientations import apply_orientation, inv_ornt_aff
from scipy.spatial.transform import Rotation

from medseg.inference import predict
from medseg.volume import Grid, Volume

ORDERS = [
    np.column_stack([order, signs])
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.fixture(scope="module")
def predictor(untrained):
    """Random weights know left from right, so that a confusion shows."""
    return predict.load(untrained, torch.device("cpu"))


@pytest.fixture(scope="module")
def scan():
    """An oblique scan with unequal spacing, which has to be resampled and cut into patches."""
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [11, -7, 17], degrees=True).as_matrix()
    affine[:3, :3] = turn * np.array([1.3, 0.9, 1.1])
    affine[:3, 3] = (31, -20, 5)
    voxels = np.random.default_rng(4).normal(100, 20, size=(14, 23, 16)).astype(np.float32)
    return Volume(voxels[None], Grid((14, 23, 16), affine))


@pytest.fixture(scope="module")
def expected(predictor, scan):
    label_map = predict.predict(predictor, scan).label_map
    assert len(np.unique(label_map)) == 3
    return label_map


@pytest.mark.parametrize(
    "order", ORDERS, ids=lambda order: "".join(f"{a:+d}" for a in order[:, 1] * (order[:, 0] + 1))
)
def test_all_48_orders_give_the_same_segmentation(predictor, scan, expected, order):
    stored = apply_orientation(scan.voxels[0], order)
    affine = scan.affine @ inv_ornt_aff(order, scan.grid.shape)
    found = predict.predict(predictor, Volume(stored[None].copy(), Grid(stored.shape, affine)))
    assert np.array_equal(found.label_map, apply_orientation(expected, order))
    assert found.grid.affine is affine
