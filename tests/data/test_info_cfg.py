"""ACDC's `Info.cfg`."""

import pytest

from medseg.data import info_cfg
from medseg.data.info_cfg import Info
from medseg.errors import DataError

TEXT = "ED: 1\nES: 12\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\nWeight: 95.0\n"


def put(folder, text=TEXT):
    folder.mkdir(parents=True)
    (folder / "Info.cfg").write_text(text)
    return folder / "Info.cfg"


def test_the_published_form_is_read(tmp_path):
    expected = Info(ed_frame=1, es_frame=12, group="DCM", height_cm=184.0, weight_kg=95.0)
    assert info_cfg.read(put(tmp_path / "patient001")) == expected


def test_the_order_of_lines_and_blanks_do_not_matter(tmp_path):
    path = put(tmp_path / "patient001", "ES:3\r\n Weight : 60\r\nED : 9\r\n\r\n")
    assert info_cfg.read(path) == Info(ed_frame=9, es_frame=3, weight_kg=60.0)


def test_a_height_of_nought_is_none(tmp_path):
    path = put(tmp_path / "patient001", TEXT.replace("184.0", "0"))
    assert info_cfg.read(path).height_cm is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TEXT.replace("ES: 12\n", ""), "names no frame ES"),
        (TEXT.replace("12", "twelve"), "cannot be understood"),
        (TEXT.replace("184.0", "tall"), "cannot be understood"),
        (TEXT.replace("ED: 1\n", "ED: 0\n"), "names frame 0 as end-diastole and 12 as end-systole"),
        (TEXT.replace("ES: 12", "ES: -3"), "names frame 1 as end-diastole and -3"),
        (TEXT.replace("ES: 12", "ES: 1"), "names frame 1 as end-diastole and 1 as end-systole"),
        (TEXT.replace("184.0", "1.84"), r"gives a height of 1\.84, not one from 30 to 250 cm"),
        (TEXT.replace("184.0", "nan"), "gives a height of nan"),
        (TEXT.replace("95.0", "95000"), "gives a weight of 95000, not one from 1 to 400 kg"),
        (TEXT.replace("95.0", "-95"), "gives a weight of -95"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, reason):
    with pytest.raises(DataError, match=rf"Info\.cfg: {reason}"):
        info_cfg.read(put(tmp_path / "patient001", text))


def test_patients_are_found_however_deep(tmp_path):
    put(tmp_path / "database/training/patient001")
    put(tmp_path / "database/testing/patient101", TEXT.replace("12", "10"))
    found = info_cfg.read_all(tmp_path, ["patient101", "patient001"])
    assert {name: info.es_frame for name, info in found.items()} == {
        "patient101": 10,
        "patient001": 12,
    }


def test_patients_without_are_listed(tmp_path):
    put(tmp_path / "patient001")
    with pytest.raises(DataError, match=r"has no Info\.cfg of patient002, patient003"):
        info_cfg.read_all(tmp_path, ["patient001", "patient002", "patient003"])


def test_patients_that_are_there_twice_are_listed(tmp_path):
    put(tmp_path / "a/patient001")
    put(tmp_path / "b/patient001")
    with pytest.raises(DataError, match=r"has several Info\.cfg of patient001"):
        info_cfg.read_all(tmp_path, ["patient001"])


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        info_cfg.read_all(tmp_path / "nowhere", ["patient001"])
