"""CSV lists."""

import pytest

from medseg.data import layouts
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
        ("image,label,Image\na,b,c\n", "has the column 'image' twice"),
        ("case,image,label\np/1,a,b\n", "line 2 has the case 'p/1', which cannot be the name"),
        ("case,image,label\n..\\\\x,a,b\n", "which cannot be the name"),
        ("image,label,split\na,b,train\nc,d,\n", "puts no case into validation or test"),
        ("image,label,split\na,b,test\nc,d,val\n", "puts no case into training"),
        ("image,label,patient,split\na,b,p,train\nc,d,p,test\n", "the patient p into several"),
    ],
)
def test_a_damaged_list_is_refused(listed, text, said):
    with pytest.raises(DataError, match=said):
        listed(text)


def test_what_watches_the_training_is_what_is_scored_where_there_is_no_test_set(listed):
    found = listed("image,label,split\na,l,train\nb,l,train\nc,l,val\nd,l,\n")
    parts = choose(found.cases, found.splits)
    assert [case.name for case in parts.training] == ["a", "b"]
    assert [case.name for case in parts.held_out] == ["c"]
    assert parts.validation == parts.held_out


@pytest.mark.parametrize("between", [";", "\t"])
def test_columns_may_be_divided_as_spreadsheets_do(listed, between):
    found = listed(between.join(["case", "image", "label"]) + "\n" + between.join("abc") + "\n")
    (case,) = found.cases
    assert (case.name, case.images[0].name, case.label.name) == ("a", "b", "c")


def test_files_of_one_name_need_names_of_their_own(tmp_path):
    (tmp_path / "cases.csv").write_text("image,label\np1/ct.nii,p1/l.nii\np2/ct.nii,p2/l.nii\n")
    with pytest.raises(DataError, match=r"several cases called ct\. Give each row a name .* case"):
        layouts.recognise(tmp_path)


def test_frames_of_a_patient_are_not_divided(listed):
    text = "image,label,split\npatient001_frame01,l,train\npatient001_frame12,l,test\n"
    with pytest.raises(DataError, match="the patient patient001 into several"):
        listed(text)
