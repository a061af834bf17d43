"""Plain folders."""

import pytest

from medseg.data import layouts
from medseg.data.layouts import folder
from tests.fake_data import FORMS


@pytest.mark.parametrize(
    ("form", "channels", "names"),
    [
        ("folders", ("image",), {1: "liver", 2: "spleen"}),
        ("case_folders", ("FLAIR", "T1", "T1POST", "T2"), {}),
        ("pairs", ("image",), {}),
    ],
)
def test_three_arrangements_are_known(form, channels, names, tmp_path):
    FORMS[form](tmp_path)
    found = folder.recognise(tmp_path)
    assert found.channels == channels
    assert found.labels == names
    assert len(found.labelled) == 4


def test_numbered_channels_are_put_together(tmp_path):
    for name in ("images/a_0000", "images/a_0001", "images/b_0000", "labels/a", "labels/b"):
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = folder.recognise(tmp_path)
    assert found.channels == ("channel_0", "channel_1")
    assert [case.name for case in found.cases] == ["a", "b"]
    # the channel that b lacks is named as it should be
    assert found.cases[1].images[1] == tmp_path / "images" / "b_0001.nii.gz"


def test_files_may_carry_the_name_of_their_case(tmp_path):
    for case in ("p1", "p2"):
        for role in ("t1", "t2", "seg"):
            path = tmp_path / case / f"{case}_{role}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            path.touch()
    found = folder.recognise(tmp_path)
    assert found.channels == ("t1", "t2")
    assert found.cases[1].label == tmp_path / "p2" / "p2_seg.nii.gz"


def test_scans_without_any_label_map_are_no_data_set(tmp_path):
    (tmp_path / "a.nii.gz").touch()
    (tmp_path / "b.nii.gz").touch()
    assert folder.recognise(tmp_path) is None


def test_pairs_lie_flat_and_cases_in_folders_do_not(tmp_path):
    for form in ("pairs", "case_folders"):
        FORMS[form](tmp_path / form)
    assert layouts.is_flat(folder.recognise(tmp_path / "pairs"))
    assert not layouts.is_flat(folder.recognise(tmp_path / "case_folders"))


def test_numbers_of_cases_are_not_taken_for_those_of_channels(tmp_path):
    for name in ("images/scan_0001", "images/scan_0002", "labels/scan_0001", "labels/scan_0002"):
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = folder.recognise(tmp_path)
    assert [case.name for case in found.labelled] == ["scan_0001", "scan_0002"]
    assert found.channels == ("image",)
