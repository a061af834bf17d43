from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from medseg import formats
from medseg import task as tasks
from medseg.data import layouts
from medseg.data.cases import read_image
from medseg.data.description import describe_scan, gathered
from medseg.inference.familiarity import unfamiliar
from medseg.volume import Grid, Volume

MR = tasks.read("hippocampus")
TWO = tasks.read("phantom")
LABEL = 'labels: {a: {value: 1, colour: "#dd8265", code: SCT^1^A}}'
CT = tasks.parse(
    f"name: ct\ntitle: CT\nlayout: decathlon\nchannels: {{ct: ct}}\n{LABEL}", where="test"
)


def scan(seed, *, step=(1.0, 1.0, 1.0), shape=(20, 22, 24), change=None, channels=1):
    """Tissue of two kinds in noise, about 100 and 200."""
    rng = np.random.default_rng(seed)
    voxels = rng.normal(100, 10, (channels, *shape)) + 100 * (rng.random((channels, *shape)) < 0.3)
    voxels = voxels.astype(np.float32)
    return Volume(voxels if change is None else change(voxels), Grid(shape, np.diag([*step, 1.0])))


def remarks(volume, task=MR, **options):
    seen = gathered([describe_scan(scan(n, **options), task) for n in range(5)], [{}] * 5)
    return unfamiliar(describe_scan(volume, task), seen, task)


def test_a_scan_like_the_others_is_familiar():
    assert remarks(scan(9)) == []
    assert remarks(scan(9, change=lambda voxels: 7 * voxels)) == []  # MR has no unit


def _mostly_zero(voxels):
    voxels[:, :12] = 0
    return voxels


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"step": (1, 1, 2)}, "voxels are 2.00 mm from bottom to top; in training 1.00 to 1.00 mm"),
        ({"shape": (45, 22, 24)}, "measures 45 mm from left to right; in training 20 to 20 mm"),
        ({"change": lambda voxels: voxels - 1100}, "t1 has values down to"),
        ({"change": _mostly_zero}, "60 % of t1 is zero; in training 0 to 0 %"),
        ({"change": lambda voxels: voxels**6}, "of t1 lie below"),
    ],
)
def test_it_is_said_in_what_a_scan_differs(options, said):
    (told,) = remarks(scan(9, **options))
    assert said in told


def test_ct_that_is_not_in_hounsfield_units_is_noticed():
    def air(voxels):
        voxels[:, :3] = -1000
        return voxels

    def shifted(voxels):
        return air(voxels) + 1024

    assert remarks(scan(9, change=air), CT, change=air) == []
    (told,) = remarks(scan(9, change=shifted), CT, change=air)
    assert "is it in Hounsfield units?" in told


def test_channels_in_another_order_are_noticed():
    def unlike(voxels):
        voxels[1] = voxels[1] ** 4
        return voxels

    options = {"channels": 2, "change": unlike}
    assert remarks(scan(9, **options), TWO, **options) == []
    swapped = scan(9, channels=2, change=lambda voxels: unlike(voxels)[::-1])
    told = remarks(swapped, TWO, **options)[-1]
    assert "in another order" in told
    assert "second looks like first" in told


def test_two_channels_that_are_alike_are_not_told_apart():
    volume = scan(9, channels=2)
    swapped = replace(volume, voxels=volume.voxels[::-1])
    assert remarks(swapped, TWO, channels=2) == []


@pytest.mark.real_data
def test_hippocampi_are_familiar_to_each_other_and_other_scans_are_not(real_data):
    cases = layouts.cases(real_data / "hippocampus/Task04_Hippocampus", MR)[:60]
    scans = [describe_scan(read_image(case, MR), MR) for case in cases]
    seen = gathered(scans[:40], [{}] * 40)
    assert sum(bool(unfamiliar(one, seen, MR)) for one in scans[40:]) <= 1
    for name, said in (
        ("ms_lesions/patient07/T1.nii.gz", "is zero; in training"),
        ("readers/ct_organs/example_ct_sm.nii.gz", "as CT has and MR has not"),
        ("readers/ct_organs/example_mr_sm.nii.gz", "voxels are 3.00 mm"),
    ):
        told = unfamiliar(describe_scan(formats.read(real_data / name), MR), seen, MR)
        assert any(said in remark for remark in told), name


@pytest.mark.real_data
@pytest.mark.slow
def test_brain_channels_in_another_order_are_noticed(real_data):
    names = ("FLAIR", "T1", "T2")
    task = tasks.parse(
        "name: ms\ntitle: MS\nlayout: decathlon\nchannels: {flair: mr, t1: mr, t2: mr}\n" + LABEL,
        where="test",
    )
    volumes = []
    for patient in ("patient07", "patient19", "patient26"):
        parts = [formats.read(real_data / "ms_lesions" / patient / f"{n}.nii.gz") for n in names]
        volumes.append(Volume(np.concatenate([p.voxels for p in parts]), parts[0].grid))
    seen = gathered([describe_scan(volume, task) for volume in volumes[1:]], [{}] * 2)
    for order in permutations(range(3)):
        given = Volume(volumes[0].voxels[list(order)], volumes[0].grid)
        told = unfamiliar(describe_scan(given, task), seen, task)
        assert any("in another order" in remark for remark in told) == (order != (0, 1, 2)), order
