"""CSV lists."""

import pytest

from medseg.data.folds import choose
from medseg.data.layouts import table
from medseg.errors import DataError
from tests.fake_data import FORMS


@pytest.fixture
def listed(tmp_path):
    """Writes a list and recognises it."""

    def done(text, name="cases.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return table.recognise(tmp_path / name)

    return done


def test_a_list_names_cases_patients_and_parts(tmp_path):
    FORMS["table"](tmp_path)
    found = table.recognise(tmp_path)
    assert found.channels == ("ct",)
    assert found.cases[2].images == (tmp_path / "deep" / "2" / "ct.nii.gz",)
    assert found.others_are_background
    parts = choose(found.cases, found.splits)
    assert [case.subject for case in parts.held_out] == ["p3"]
    assert table.recognise(tmp_path / "cases.csv").cases == found.cases


def test_case_patient_and_split_may_be_left_out(listed, tmp_path):
    found = listed("\ufeffImage, label\na.nii.gz, b.nii.gz\nc.nii.gz,\n", "mine.csv")
    assert [case.name for case in found.cases] == ["a", "c"]
    assert [case.label for case in found.cases] == [tmp_path / "b.nii.gz", None]
    assert found.splits == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("image,label\n", "is empty"),
        ("case,label\na,b\n", "has no column of images; its columns are case, label"),
        ("image,label\na\n", "line 2 has not as many entries"),
        ("image,label\na,b,c\n", "line 2 has not as many entries"),
        ("t1,t2,label\na,,c\n", "line 2 has no t2"),
        ("image,label,split\na,b,other\n", "has the split 'other'"),
        ("image,label,patient,split\na,b,p,train\nc,d,p,test\n", "the patient p into several"),
    ],
)
def test_a_damaged_list_is_refused(listed, text, said):
    with pytest.raises(DataError, match=said):
        listed(text)
