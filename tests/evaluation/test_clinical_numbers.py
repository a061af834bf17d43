"""Clinical numbers beside the references'."""

import csv
import io
import math
import statistics

import pytest

from medseg import task as tasks
from medseg.errors import DataError, UsageError
from medseg.evaluation.clinical_numbers import (
    ClinicalNumbers,
    Measured,
    measure,
    measure_predictions,
    require_data,
)
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Score, Scores

NAN = math.nan


def measured(reference, prediction, subject="a", quantity="volume", unit="mL"):
    return Measured(subject, quantity, unit, reference, prediction)


def scores(*rows):
    return Scores(
        tuple(
            Score(case, region, {"dice": 0.5}, Status.BOTH, volumes_ml)
            for case, region, volumes_ml in rows
        )
    )


def test_an_error_is_signed_and_in_percent_of_the_reference():
    row = measured(80.0, 60.0)
    assert (row.error, row.error_percent) == (-20.0, -25.0)
    assert math.isnan(measured(0.0, 5.0).error_percent)


def test_three_subjects_agree_as_by_hand():
    pairs = [(100.0, 90.0), (50.0, 55.0), (200.0, 205.0)]
    rows = tuple(measured(*pair, subject=str(n)) for n, pair in enumerate(pairs))
    (agreement,) = ClinicalNumbers(rows).agreements()
    deviation = math.sqrt((10**2 + 5**2 + 5**2) / 2)  # of -10, 5, 5, whose mean is 0
    assert agreement.error == 0.0
    assert agreement.limits == pytest.approx((-1.96 * deviation, 1.96 * deviation))
    assert agreement.absolute_error == pytest.approx(20 / 3)
    assert agreement.absolute_error_percent == pytest.approx((10 + 10 + 2.5) / 3)
    assert (agreement.reference, agreement.prediction) == pytest.approx((350 / 3, 350 / 3))
    expected = statistics.correlation(*zip(*pairs, strict=True))
    assert agreement.correlation == pytest.approx(expected)
    assert (agreement.subjects, agreement.undefined, agreement.missed) == (3, 0, 0)


def test_what_the_reference_does_not_define_is_counted_and_left_out():
    rows = (measured(NAN, 3.0), measured(10.0, 12.0, "b"))
    (agreement,) = ClinicalNumbers(rows).agreements()
    assert (agreement.subjects, agreement.undefined) == (1, 1)
    assert agreement.error == 2.0
    assert math.isnan(agreement.limits[0])
    assert math.isnan(agreement.correlation)


def test_what_one_side_alone_has_is_counted():
    pairs = [(1.0, 0.0), (0.0, 2.0), (0.0, 0.0), (3.0, 3.0), (NAN, 0.0), (4.0, 0.0)]
    rows = tuple(measured(*pair, subject=str(n)) for n, pair in enumerate(pairs))
    (agreement,) = ClinicalNumbers(rows).agreements()
    assert (agreement.missed, agreement.false_alarm, agreement.absent) == (2, 1, 1)
    assert (agreement.subjects, agreement.undefined) == (5, 1)


def test_of_nothing_there_is_null():
    summary = ClinicalNumbers((measured(NAN, NAN),)).summary()
    assert summary["volume"] == {
        "unit": "mL",
        "subjects": 0,
        "undefined": 1,
        "missed": 0,
        "false_alarm": 0,
        "absent": 0,
        "mean_reference": None,
        "mean_prediction": None,
        "mean_error": None,
        "mean_absolute_error": None,
        "mean_absolute_error_percent": None,
        "correlation": None,
        "limits_of_agreement": None,
    }


def test_the_table_has_every_error():
    text = ClinicalNumbers((measured(80.0, 60.0), measured(0.0, 5.0, "b"))).table()
    first, second = csv.DictReader(io.StringIO(text))
    assert first == {
        "subject": "a",
        "quantity": "volume",
        "unit": "mL",
        "reference": "80.0",
        "prediction": "60.0",
        "error": "-20.0",
        "absolute_error": "20.0",
        "error_percent": "-25.0",
    }
    assert second["error_percent"] == "nan"


def test_volumes_are_those_of_any_task(hippocampus_task):
    given = scores(("x", "anterior", (2.0, 1.5)), ("x", "posterior", (1.0, 0.0)))
    numbers = measure(given, hippocampus_task)
    assert [(row.quantity, row.error) for row in numbers.rows] == [
        ("anterior volume", -0.5),
        ("posterior volume", -1.0),
    ]
    assert [each.missed for each in numbers.agreements()] == [0, 1]


def test_brats_has_the_volumes_of_its_three_regions():
    task = tasks.read("brats")
    given = scores(*(("x", region, (10.0, 11.0)) for region in task.region_names))
    assert [row.quantity for row in measure(given, task).rows] == [
        "whole_tumour volume",
        "tumour_core volume",
        "enhancing_tumour volume",
    ]


HEART = [
    *(("patient001_frame01", "left_ventricle", (100.0, 0.0)),),
    *(("patient001_frame01", "right_ventricle", (80.0, 80.0)),),
    *(("patient001_frame01", "myocardium", (100.0, 90.0)),),
    *(("patient001_frame04", "left_ventricle", (40.0, 0.0)),),
    *(("patient001_frame04", "right_ventricle", (40.0, 30.0)),),
    *(("patient001_frame04", "myocardium", (100.0, 90.0)),),
]


def test_a_missed_ventricle_improves_no_mean(tmp_path):
    (tmp_path / "patient001").mkdir()
    (tmp_path / "patient001/Info.cfg").write_text("ED: 1\nES: 4\nHeight: 180\nWeight: 80\n")
    numbers = measure(scores(*HEART), tasks.read("acdc"), tmp_path)
    by_quantity = {each.quantity: each for each in numbers.agreements()}
    missed = by_quantity["LV EF"]  # 60 % in the reference, undefined in the prediction
    assert (missed.absolute_error, missed.missed, missed.undefined) == (60.0, 1, 0)
    found = by_quantity["RV EF"]  # 50 % and 62.5 %
    assert (found.error, found.missed) == (12.5, 0)
    assert by_quantity["LV mass"].error == pytest.approx(-10.5)
    assert numbers.left_out == ()


def test_without_the_data_the_heart_s_function_is_left_out_and_volumes_are_not():
    numbers = measure(scores(*HEART), tasks.read("acdc"))
    assert numbers.left_out == ("cardiac_function",)
    assert {row.quantity for row in numbers.rows} == {
        "left_ventricle volume",
        "right_ventricle volume",
        "myocardium volume",
    }


def test_a_task_that_names_what_there_is_not_is_refused(hippocampus_task):
    odd = hippocampus_task.model_copy(update={"clinical": ("bone_age",)})
    with pytest.raises(UsageError, match="'bone_age', which do not exist"):
        measure(scores(("x", "anterior", (1.0, 1.0))), odd)


def test_a_task_without_the_regions_is_refused(hippocampus_task):
    odd = hippocampus_task.model_copy(update={"clinical": ("cardiac_function",)})
    with pytest.raises(UsageError, match=r"lacks regions .*: left_ventricle, right_ventricle"):
        measure(scores(("x", "anterior", (1.0, 1.0))), odd)


def test_a_task_may_define_none(hippocampus_task):
    none = hippocampus_task.model_copy(update={"clinical": ()})
    assert measure(scores(("x", "anterior", (1.0, 1.0))), none) == ClinicalNumbers()


def test_what_is_missing_is_said_before_anything_is_scored(tmp_path):
    acdc, hippocampus = tasks.read("acdc"), tasks.read("hippocampus")
    cases = ["patient001_frame01", "patient001_frame12"]
    require_data(acdc, cases, None)  # left out, and said so
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        require_data(acdc, cases, tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"has no Info\.cfg of patient001"):
        require_data(acdc, cases, tmp_path)
    (tmp_path / "patient001").mkdir()
    (tmp_path / "patient001/Info.cfg").write_text("ED: 1\nES: 12\n")
    require_data(acdc, cases, tmp_path)
    with pytest.raises(DataError, match=r"lacks frames .*: patient001 frame 12"):
        require_data(acdc, cases[:1], tmp_path)
    with pytest.raises(UsageError, match=r"hippocampus makes no use .* Leave out --data"):
        require_data(hippocampus, ["a"], tmp_path)


def test_predictions_alone_are_measured_beside_an_unknown_reference():
    found = measure_predictions(
        {"a": {"anterior": 1.5, "posterior": 0.0}}, tasks.read("hippocampus")
    )
    rows = [(row.subject, row.quantity, row.unit, row.prediction) for row in found.rows]
    assert rows == [("a", "anterior volume", "mL", 1.5), ("a", "posterior volume", "mL", 0.0)]
    assert all(math.isnan(row.reference) and row.status is None for row in found.rows)
    acdc = tasks.read("acdc")
    volumes_ml = {"patient001_frame01": dict.fromkeys(acdc.region_names, 1.0)}
    assert measure_predictions(volumes_ml, acdc).left_out == ("cardiac_function",)
