"""The function of a heart, by hand."""

import math

import pytest

from medseg.errors import DataError
from medseg.evaluation.clinical.cardiac_function import body_surface_m2, compute


def put(folder, patient, *, ed=1, es=12, height=180.0, weight=80.0):
    (folder / patient).mkdir()
    text = f"ED: {ed}\nES: {es}\nGroup: NOR\nHeight: {height}\nNbFrame: 30\nWeight: {weight}\n"
    (folder / patient / "Info.cfg").write_text(text)


def frame(left, right, myocardium):
    return {"left_ventricle": left, "right_ventricle": right, "myocardium": myocardium}


def found(volumes_ml, data):
    return {(n.subject, n.quantity): n.value for n in compute(volumes_ml, data)}


HEART = {
    "patient001_frame01": frame(150.0, 160.0, 100.0),
    "patient001_frame12": frame(60.0, 80.0, 110.0),
}


def test_the_body_surface_is_mosteller_s():
    assert body_surface_m2(180.0, 80.0) == 2.0  # the root of 14400 / 3600
    assert body_surface_m2(160.0, 56.25) == pytest.approx(1.58113883)  # the root of 2.5


def test_a_heart_by_hand(tmp_path):
    put(tmp_path, "patient001")  # 2 m2
    numbers = {quantity: value for (_, quantity), value in found(HEART, tmp_path).items()}
    assert numbers == pytest.approx(
        {
            "LV EDV": 150.0,
            "LV EDV index": 75.0,
            "LV ESV": 60.0,
            "LV ESV index": 30.0,
            "LV SV": 90.0,
            "LV SV index": 45.0,
            "LV EF": 60.0,
            "RV EDV": 160.0,
            "RV EDV index": 80.0,
            "RV ESV": 80.0,
            "RV ESV index": 40.0,
            "RV SV": 80.0,
            "RV SV index": 40.0,
            "RV EF": 50.0,
            "LV mass": 105.0,  # 100 mL at end-diastole, 1.05 g/mL
            "LV mass index": 52.5,
        }
    )


def test_units_are_those_of_the_field(tmp_path):
    put(tmp_path, "patient001")
    units = {number.quantity: number.unit for number in compute(HEART, tmp_path)}
    assert units["LV EF"] == "%"
    assert units["LV SV"] == "mL"
    assert units["LV mass"] == "g"
    assert units["LV mass index"] == "g/m2"
    assert units["RV EDV index"] == "mL/m2"


def test_frames_are_known_by_their_number_and_not_by_their_order(tmp_path):
    put(tmp_path, "patient001", ed=12, es=1)
    numbers = found(HEART, tmp_path)
    assert numbers["patient001", "LV EDV"] == 60.0
    assert numbers["patient001", "LV EF"] == pytest.approx(-150.0)
    assert numbers["patient001", "LV mass"] == pytest.approx(115.5)


def test_other_frames_are_of_no_account(tmp_path):
    put(tmp_path, "patient001")
    more = {**HEART, "patient001_frame05": frame(1.0, 1.0, 1.0)}
    assert found(more, tmp_path) == found(HEART, tmp_path)


def test_patients_are_kept_apart(tmp_path):
    put(tmp_path, "patient001")
    put(tmp_path, "patient002", ed=4, es=9)
    more = {"patient002_frame09": frame(10, 10, 10), "patient002_frame04": frame(40, 20, 10)}
    numbers = found({**HEART, **more}, tmp_path)
    assert (numbers["patient001", "LV EF"], numbers["patient002", "LV EF"]) == (60.0, 75.0)


def test_without_weight_nothing_is_indexed(tmp_path):
    put(tmp_path, "patient001", weight=0)
    numbers = found(HEART, tmp_path)
    assert math.isnan(numbers["patient001", "LV mass index"])
    assert numbers["patient001", "LV mass"] == 105.0


def test_nothing_ejects_nothing_definite(tmp_path):
    put(tmp_path, "patient001")
    empty = dict.fromkeys(HEART, frame(0.0, 0.0, 0.0))
    numbers = found(empty, tmp_path)
    assert math.isnan(numbers["patient001", "LV EF"])
    assert numbers["patient001", "LV SV"] == 0.0


def test_a_frame_that_is_not_there_is_named(tmp_path):
    put(tmp_path, "patient001", es=13)
    with pytest.raises(DataError, match=r"lacks frames .*: patient001 frame 13"):
        compute(HEART, tmp_path)


def test_cases_that_are_called_otherwise_are_named(tmp_path):
    with pytest.raises(DataError, match="without the number of a patient and a frame: heart_7"):
        compute({**HEART, "heart_7": frame(1.0, 1.0, 1.0)}, tmp_path)


def test_without_the_data_nothing_is_known_of_the_frames():
    with pytest.raises(ValueError, match=r"without the folder of Info\.cfg"):
        compute(HEART, None)
