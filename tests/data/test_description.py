import numpy as np
import pytest

from medseg.data.description import describe_labels, describe_scan, gathered
from medseg.task import parse
from medseg.volume import Grid, Volume

LPS = np.diag([-2.0, -1.0, 3.0, 1.0])  # i runs to the left, j to the back


@pytest.fixture
def task():
    return parse(
        """
        name: two
        title: Two channels
        layout: decathlon
        channels: {ct: ct, t1: mr}
        labels:
          one: {value: 1, colour: "#dd8265", code: SCT^1^One}
          seven: {value: 7, colour: "#dd8265", code: SCT^7^Seven}
        """,
        where="test",
    )


@pytest.fixture
def volume():
    ct = np.full((5, 6, 7), -1000.0, np.float32)
    ct[1:3] = 40
    t1 = np.zeros((5, 6, 7), np.float32)
    t1[1:3, :, :3] = 100
    t1[1:3, :, 3:] = 300
    return Volume(np.stack([ct, t1]), Grid((5, 6, 7), LPS))


def test_a_scan_is_measured_along_the_patient_s_axes(volume, task):
    found = describe_scan(volume, task)
    assert found.spacing_mm == (2.0, 1.0, 3.0)
    assert found.extent_mm == (10.0, 6.0, 21.0)


def test_ct_keeps_its_unit_and_mr_is_brought_to_its_own(volume, task):
    found = describe_scan(volume, task).channels
    assert found["ct"].minimum == -1000
    assert found["ct"].levels[0] == -1000
    assert found["ct"].levels[-1] == 40
    assert found["ct"].zero_share == 0
    assert found["t1"].zero_share == pytest.approx(3 / 5)
    # inside, 3 of 7 slices are 100 and 4 are 300: mean 214.29, deviation 200 * sqrt(12) / 7
    deviation = 200 * np.sqrt(12) / 7
    assert found["t1"].levels[0] == pytest.approx((100 - 1500 / 7) / deviation)
    assert found["t1"].levels[-1] == pytest.approx((300 - 1500 / 7) / deviation)


def test_channels_are_correlated_where_neither_is_zero(task, rng):
    first = rng.normal(100, 10, (5, 6, 7))
    volume = Volume(np.stack([first, 500 - 2 * first]).astype(np.float32), Grid((5, 6, 7), LPS))
    volume.voxels[1, 0] = 0
    assert describe_scan(volume, task).correlations == {"ct t1": pytest.approx(-1)}
    flat = Volume(np.stack([first, np.full(first.shape, 3.0)]).astype(np.float32), volume.grid)
    assert describe_scan(flat, task).correlations == {"ct t1": 0.0}


def test_labels_are_measured_by_hand(volume, task):
    label_map = np.zeros((5, 6, 7), np.uint8)
    label_map[1, 0, 0:2] = 7  # j = 0 lies in front, as j runs to the back
    label_map[2, 1, 2] = 7  # touches the others at a corner: one part
    label_map[2, 5, 6] = 7  # a part of its own, behind and on top
    found = describe_labels(volume, label_map, task)
    assert found["one"].volume_ml == 0
    assert found["one"].touches == ()
    seven = found["seven"]
    assert seven.volume_ml == pytest.approx(4 * 6 / 1000)
    assert seven.components == 2
    assert seven.touches == ("posterior", "anterior", "inferior", "superior")
    assert seven.intensities["ct"] == pytest.approx(40)
    mean = (3 * 100 + 300) / 4
    assert seven.intensities["t1"] == pytest.approx((mean - 1500 / 7) / (200 * np.sqrt(12) / 7))


def test_cases_are_gathered_into_ranges(volume, task):
    label_map = np.zeros((5, 6, 7), np.uint8)
    label_map[1:3, 1:3, 1:3] = 1
    larger = label_map.copy()
    larger[0:3, 1:3, 1:3] = 1
    none = np.zeros_like(label_map)
    scan = describe_scan(volume, task)
    labels = [describe_labels(volume, case, task) for case in (label_map, larger, none)]
    found = gathered([scan] * 3, labels)
    assert found.cases == 3
    assert found.labels.keys() == {"one"}
    assert found.labels["one"].present == pytest.approx(2 / 3)
    assert found.labels["one"].touching == 0.5
    assert found.labels["one"].volume_ml.lowest == pytest.approx(8 * 6 / 1000)
    assert found.labels["one"].volume_ml.highest == pytest.approx(12 * 6 / 1000)
    assert found.spacing_mm[2].middle == 3.0
