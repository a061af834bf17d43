import pytest
from MedSegLib import corrections

from medseg.data.layouts import table


def put(folder, case, *channels):
    place = corrections.place(folder, case, channels)
    for path in (*place.images.values(), place.label):
        path.write_text(case)
    return corrections.record(place)


def test_the_list_is_one_that_training_reads(tmp_path):
    folder = tmp_path / "Korrigierte Fälle"
    put(folder, "case_001", "t1", "flair")
    put(folder, "case_002", "t1", "flair")
    found = table.recognise(folder)
    assert found.channels == ("t1", "flair")
    assert [case.name for case in found.cases] == ["case_001", "case_002"]
    assert all(path.is_file() for case in found.cases for path in (*case.images, case.label))


def test_a_case_that_is_sent_again_is_listed_once(tmp_path):
    for case in ("a", "b", "a"):
        put(tmp_path, case, "ct")
    assert sorted(corrections.names(tmp_path)) == ["a", "b"]
    assert not list(tmp_path.glob(".*"))


def test_the_next_name_is_the_first_free_one(tmp_path):
    assert corrections.next_name(tmp_path) == "case_001"
    put(tmp_path, "case_001", "ct")
    put(tmp_path, "case_003", "ct")
    assert corrections.next_name(tmp_path) == "case_002"


@pytest.mark.parametrize("name", ["", "../x", "a b", "a,b", ".a", "a/b", "a\n"])
def test_a_name_that_is_no_file_s_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="is no name for a case"):
        corrections.place(tmp_path, name, ["ct"])


def test_cases_of_other_channels_go_into_another_folder(tmp_path):
    put(tmp_path, "a", "t1", "flair")
    with pytest.raises(ValueError, match=r"case, t1, flair, label, and this one has case, ct, lab"):
        corrections.place(tmp_path, "b", ["ct"])


@pytest.mark.parametrize("content", [b"\xff\xfe", b"name,file\n", b'case,"ct\n'])
def test_a_foreign_list_is_left_alone(tmp_path, content):
    path = tmp_path / corrections.LIST
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Choose another folder"):
        corrections.place(tmp_path, "a", ["ct"])
    assert path.read_bytes() == content


def test_a_case_whose_file_is_missing_is_not_listed(tmp_path):
    place = corrections.place(tmp_path, "a", ["ct"])
    place.images["ct"].write_text("image")
    with pytest.raises(ValueError, match=r"a\.seg\.nrrd was not written"):
        corrections.record(place)
    assert corrections.names(tmp_path) == ()
