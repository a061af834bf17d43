"""Tests of medseg.report.embedding; nibabel reads what a page holds."""

import base64
import gzip

import nibabel
import numpy as np
import pytest

from medseg import task as tasks
from medseg.report.embedding import embed, numbered
from medseg.volume import Grid, Volume
from tests.fake_results import SHAPE, affine_of, bodies

CT = tasks.read("synapse")
MR = tasks.read("hippocampus")


def opened(text):
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def scan_of(voxels, affine=None):
    affine = affine_of() if affine is None else affine
    return Volume(voxels[None].astype(np.float32), Grid(voxels.shape, affine, b"DOE^JANE"))


@pytest.fixture
def voxels(rng):
    return rng.normal(300, 40, SHAPE)


@pytest.fixture
def labels():
    return np.minimum(bodies(), 2)


def at(image, point_mm):
    i, j, k = np.round(np.linalg.inv(image.affine) @ [*point_mm, 1]).astype(int)[:3]
    return image.get_fdata()[i, j, k]


def test_a_small_scan_is_kept_whole_in_its_place(voxels, labels):
    embedded = embed(scan_of(voxels), {"result": labels}, MR)
    image = opened(embedded.channels["t1"])
    known = opened(embedded.label_maps["result"])
    assert embedded.changes == ()
    assert embedded.shape == image.shape == known.shape
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    span = np.subtract(*np.percentile(voxels, (99.9, 0.1)))
    for place in ((1, 2, 3), (20, 18, 10), (39, 35, 19)):
        point_mm = affine_of()[:3] @ [*place, 1]
        assert at(known, point_mm) == labels[place]
        clipped = np.clip(voxels[place], *np.percentile(voxels, (0.1, 99.9)))
        assert at(image, point_mm) == pytest.approx(clipped, abs=span / 255)


def test_no_text_of_a_header_is_kept(voxels, labels):
    embedded = embed(scan_of(voxels), {"result": labels}, MR)
    for text in (*embedded.channels.values(), *embedded.label_maps.values()):
        assert b"DOE" not in gzip.decompress(base64.b64decode(text))


def test_ct_keeps_its_hounsfield_units_in_steps_of_four():
    values = np.linspace(-3000, 5000, np.prod(SHAPE)).reshape(SHAPE)
    label_map = np.zeros(SHAPE, np.uint8)
    embedded = embed(scan_of(values, np.eye(4)), {"result": label_map}, CT)
    back = opened(embedded.channels["ct"]).get_fdata()
    assert abs(back - np.clip(values, -1024, 3071)).max() <= 2.001
    assert embedded.windows["ct"] == (-160, 240)


def test_an_empty_border_is_left_out_and_nothing_is_said_of_it(voxels, labels):
    padded, wide = np.pad(voxels, 5), np.pad(labels, 5)
    embedded = embed(scan_of(padded), {"result": wide}, MR)
    assert embedded.shape == SHAPE
    assert embedded.changes == ()


def test_what_is_far_from_every_label_is_cut_off_first(labels):
    voxels = np.random.default_rng(0).normal(size=(200, 36, 20))
    wide = np.pad(labels, ((80, 80), (0, 0), (0, 0)))
    embedded = embed(scan_of(voxels), {"result": wide}, MR, most_voxels=110 * 36 * 20)
    assert embedded.changes == ("what is more than 40 mm away from every label is cut off",)
    filled = np.flatnonzero((wide > 0).any(axis=(1, 2)))
    assert embedded.shape[0] == np.ptp(filled) + 1 + 2 * 40
    assert (opened(embedded.label_maps["result"]).get_fdata() > 0).sum() == (wide > 0).sum()


def test_blocks_are_averaged_along_the_finest_axis_first(voxels, labels):
    embedded = embed(scan_of(voxels), {"result": labels}, MR, most_voxels=voxels.size // 2)
    assert embedded.changes[-1] == "blocks of 2 x 1 x 1 voxels are averaged to one"
    image = opened(embedded.channels["t1"])
    assert image.shape == (20, 36, 20)
    # j and k are as in the file; i runs the other way
    mean = voxels[::-1][0:2, 7, 3].mean()
    assert image.get_fdata()[0, 7, 3] == pytest.approx(mean, abs=2)
    middle_mm = affine_of()[:3] @ [38.5, 7, 3, 1]
    assert image.affine[:3] @ [0, 7, 3, 1] == pytest.approx(middle_mm, abs=1e-4)


def test_a_block_takes_its_most_frequent_label_and_a_label_before_background():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:2, :2, :2].flat[:4] = 1  # four of eight
    labels[2:, 2:, 2:] = 2
    labels[2, 2, 2] = 1
    labels[0, 2, 2] = 2  # one of eight
    voxels = np.random.default_rng(0).normal(size=(4, 4, 4))
    embedded = embed(scan_of(voxels, np.eye(4)), {"result": labels}, MR, most_voxels=8)
    rough = opened(embedded.label_maps["result"]).get_fdata()
    assert rough.shape == (2, 2, 2)
    assert (rough[0, 0, 0], rough[1, 1, 1], rough[0, 1, 1]) == (1, 2, 0)


def test_what_does_not_compress_is_made_smaller_too(voxels, labels):
    whole = embed(scan_of(voxels), {"result": labels}, MR)
    size = len(whole.channels["t1"]) * 3 // 4
    embedded = embed(scan_of(voxels), {"result": labels}, MR, most_bytes=size - 100)
    assert len(embedded.channels["t1"]) * 3 / 4 <= size - 100
    assert embedded.changes


def test_all_channels_share_what_there_is(voxels):
    task = tasks.read("phantom")
    scan = Volume(np.stack([voxels, -voxels]).astype(np.float32), Grid(SHAPE, affine_of()))
    embedded = embed(scan, {"result": bodies()}, task, most_voxels=voxels.size)
    assert list(embedded.channels) == ["first", "second"]
    assert np.prod(embedded.shape) * 2 <= voxels.size
    signs = [np.sign(opened(text).get_fdata().mean()) for text in embedded.channels.values()]
    assert signs == [1, -1]


def test_labels_are_numbered_in_the_tasks_order():
    task = tasks.read("phantom")
    label_map = np.array([[[0, 1, 2, 4]]], dtype=np.uint8)
    assert numbered(label_map, task).tolist() == [[[0, 1, 2, 3]]]


def test_a_viewer_begins_where_most_is_labelled(voxels):
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:8, 20:24, 7] = 1
    embedded = embed(scan_of(voxels), {"result": labels}, MR)
    assert embedded.start == (SHAPE[0] - 1 - 7, 20, 7)
    nothing = embed(scan_of(voxels), {"result": labels * 0}, MR)
    assert nothing.start == (20, 18, 10)
