"""Scores of arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from medseg.evaluation import score_arrays, score_masks
from medseg.evaluation.pair import Status

SPACING_MM = (2.0, 1.0, 10.0)


def row(*filled, value=1, dtype=np.uint8):
    array = np.zeros((8, 3, 3), dtype=dtype)
    array[list(filled), 1, 1] = value
    return array


def test_a_label_map_is_scored_by_region():
    reference = row(1, 2) + row(5, 6, value=2)
    prediction = row(2, 3) + row(5, 6, value=2)
    found = score_arrays(
        prediction=prediction,
        reference=reference,
        spacing_mm=SPACING_MM,
        regions={"whole": [1, 2], "core": [2], "other": [9]},
    )
    assert list(found) == ["whole", "core", "other"]
    assert found["whole"].values["dice"] == pytest.approx(2 * 3 / 8)
    assert found["whole"].values["hd_mm"] == 2.0  # one voxel of 2 mm
    assert found["core"].values["dice"] == 1.0
    assert found["core"].volumes_ml == pytest.approx((0.04, 0.04))  # two voxels of 20 mm3
    assert found["other"].status is Status.ABSENT


def test_prediction_and_reference_are_not_mistaken_for_each_other():
    found = score_arrays(prediction=row(1), reference=row(1, 2, 3, 4), spacing_mm=SPACING_MM)
    assert (found["1"].values["precision"], found["1"].values["recall"]) == (1.0, 0.25)


def test_every_value_that_occurs_is_a_region_if_none_are_named():
    found = score_arrays(
        prediction=row(1, value=7), reference=row(1, value=118), spacing_mm=SPACING_MM
    )
    assert {name: score.status for name, score in found.items()} == {
        "7": Status.FALSE_ALARM,
        "118": Status.MISSED,
    }


def test_a_boolean_mask_is_one_region():
    found = score_arrays(
        prediction=row(1, dtype=bool), reference=row(1, 2, dtype=bool), spacing_mm=SPACING_MM
    )
    assert list(found) == ["mask"]
    assert found["mask"].values["dice"] == pytest.approx(2 / 3)


def test_the_convention_and_the_tolerance_are_those_asked_for():
    sides = {"prediction": row(4), "reference": row(1), "spacing_mm": SPACING_MM}
    assert score_arrays(**sides, tolerance_mm=5.9)["1"].values["nsd"] == 0.0
    assert score_arrays(**sides, tolerance_mm=6.1)["1"].values["nsd"] == 1.0
    assert score_arrays(**sides, convention="transunet")["1"].values == {
        "dice": 0.0,
        "hd95_voxels": 3.0,
    }


def test_masks_may_overlap():
    reference = np.stack([row(1, 2, 3, dtype=bool), row(2, dtype=bool)])
    prediction = np.stack([row(1, 2, dtype=bool), row(3, dtype=bool)])
    found = score_masks(
        prediction=prediction, reference=reference, spacing_mm=SPACING_MM, regions=["all", "part"]
    )
    assert found["all"].values["dice"] == pytest.approx(0.8)
    assert found["part"].values["centre_distance_mm"] == 2.0


@given(
    arrays.arrays(np.uint8, (2, 4, 5, 3), elements=st.integers(0, 3)),
    st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(-1, 3), min_size=1, max_size=3)),
)
def test_a_label_map_scores_as_its_masks_do(label_maps, regions):
    regions = {"whole": [1, 2, 3], **regions}
    sides = {
        "prediction": label_maps[0],
        "reference": label_maps[1],
    }
    if min(min(values) for values in regions.values()) < 1:
        with pytest.raises(ValueError, match="0 is background"):
            score_arrays(**sides, spacing_mm=SPACING_MM, regions=regions)
        return
    masks = {
        side: np.stack([np.isin(label_map, values) for values in regions.values()])
        for side, label_map in sides.items()
    }
    one = score_arrays(**sides, spacing_mm=SPACING_MM, regions=regions)
    other = score_masks(**masks, spacing_mm=SPACING_MM, regions=list(regions))
    for region, score in one.items():
        assert score.status is other[region].status
        assert score.values == pytest.approx(other[region].values, nan_ok=True)
        assert score.volumes_ml == pytest.approx(other[region].volumes_ml)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((2, 3), dtype=np.uint8), "is no label map; give labels or booleans on three"),
        (row(1, value=0.5, dtype=np.float32), "with fractions or NaN .* take the argmax"),
        (row(1, value=np.nan, dtype=np.float32), "with fractions or NaN"),
        (row(1, value=np.inf, dtype=np.float32), "values from 0 to inf"),
        (row(1, value=-1, dtype=np.int16), "values from -1 to 0 is no label map"),
        (row(1, value=70_000, dtype=np.int32), "to 70000 is no label map"),
        (row(1, dtype=np.complex64), "complex64 is no label map"),
    ],
)
def test_what_is_no_label_map_is_refused(array, reason):
    good = np.zeros_like(array, dtype=np.uint8)
    for sides in ((array, good), (good, array)):
        with pytest.raises(ValueError, match=reason):
            score_arrays(prediction=sides[0], reference=sides[1], spacing_mm=(1.0, 1.0, 1.0))


def test_labels_may_be_whole_numbers_of_any_type():
    found = score_arrays(
        prediction=row(1, value=2, dtype=np.float64),
        reference=row(1, 2, value=2, dtype=np.int64),
        spacing_mm=SPACING_MM,
    )
    assert found["2"].values["dice"] == pytest.approx(2 / 3)


def test_a_mask_and_a_picture_of_0_and_255_are_not_compared():
    mask, picture = row(1, dtype=bool), row(1, value=255)
    for sides in ((mask, picture), (picture, mask)):
        with pytest.raises(ValueError, match="give two masks, such as label_map > 0"):
            score_arrays(prediction=sides[0], reference=sides[1], spacing_mm=SPACING_MM)


def test_arrays_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="resample one onto the other's grid"):
        score_arrays(prediction=row(1)[:-1], reference=row(1), spacing_mm=SPACING_MM)


def test_as_many_masks_as_regions_are_needed():
    masks = np.stack([row(1, dtype=bool)])
    with pytest.raises(ValueError, match="are not those of 2 regions"):
        score_masks(
            prediction=masks, reference=masks, spacing_mm=SPACING_MM, regions=["one", "two"]
        )


@pytest.mark.parametrize(
    ("regions", "reason"),
    [(["one", "one"], "repeat; give each mask"), ({"one", "two"}, "a set .* has no order")],
)
def test_masks_have_names_of_their_own_in_order(regions, reason):
    masks = np.stack([row(1, dtype=bool)] * 2)
    with pytest.raises(ValueError, match=reason):
        score_masks(prediction=masks, reference=masks, spacing_mm=SPACING_MM, regions=regions)


def test_masks_of_numbers_are_refused():
    masks = np.stack([row(1)])
    with pytest.raises(ValueError, match="masks are boolean, not uint8"):
        score_masks(prediction=masks, reference=masks, spacing_mm=SPACING_MM, regions=["one"])


def test_an_unknown_convention_is_refused():
    with pytest.raises(ValueError, match="choose from"):
        score_arrays(prediction=row(1), reference=row(1), spacing_mm=SPACING_MM, convention="brats")
