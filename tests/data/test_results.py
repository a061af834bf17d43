import json

import pytest

from medseg.data import results


@pytest.fixture
def folder(tmp_path):
    """A report that names two results, one of them with its ending alone known from a case."""
    document = {
        "files": ["a_seg.nii.gz", "a_entropy.nii.gz"],
        "cases": [{"output": "/elsewhere/b_seg.nii.gz"}],
    }
    (tmp_path / "report.json").write_text(json.dumps(document))
    return tmp_path


def test_what_a_report_names_is_left_out_in_every_format(folder):
    names = ["b.nii", "a_seg.seg.nrrd", "a_seg.nii.gz", "b_seg.nii", "c_seg.nii", "a.nii"]
    kept = results.without(folder / name for name in names)
    assert [path.name for path in kept] == ["b.nii", "c_seg.nii", "a.nii"]
    below = folder / "deeper" / "a_seg.nii.gz"
    assert results.without([below]) == [below]


def test_maps_of_entropy_need_no_report(tmp_path):
    maps = tmp_path / "entropy"
    names = ["a_entropy.nii.gz", "a.nii.gz"]
    assert results.without(maps / name for name in names) == [maps / "a.nii.gz"]
    beside = tmp_path / "a_entropy.nii.gz"
    assert results.without([beside]) == [beside]


def test_a_folder_with_a_report_is_known(folder, tmp_path_factory):
    assert results.has_report(folder)
    assert not results.has_report(tmp_path_factory.mktemp("none"))


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"cases": [{"output": 3}]}', '{"cases": 1}'])
def test_the_report_of_another_program_names_nothing(tmp_path, content):
    (tmp_path / "report.json").write_text(content)
    assert not results.has_report(tmp_path)
    assert results.without([tmp_path / "a.nii"]) == [tmp_path / "a.nii"]
