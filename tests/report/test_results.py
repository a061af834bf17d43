import shutil
from dataclasses import replace

import pytest

from medseg import task as tasks
from medseg.errors import DataError, ImageError, UsageError
from medseg.inference.report import NAME, Entry, Report
from medseg.report import results
from tests.fake_results import NASTY


@pytest.fixture
def folder(tmp_path):
    """A folder with a report of one case, in formats of two kinds."""
    (tmp_path / "out").mkdir()
    for name in ("scan.nii.gz", "out/a_seg.nii.gz", "out/a_seg.seg.nrrd"):
        (tmp_path / name).write_bytes(b"voxels")
    return tmp_path / "out"


def record(folder, head=None, suffixes=(".seg.nrrd", ".nii.gz"), **changes):
    report = Report(folder / NAME, head or {"task": "hippocampus", "hash": "ab"})
    for suffix in suffixes:
        (folder / f"a_seg{suffix}").touch()
        entry = Entry(
            case="a",
            input=[str(folder.parent / "scan.nii.gz")],
            output=str(folder / f"a_seg{suffix}"),
            status="done",
            model="ab",
            inputs_state=[],
            settings={"series": None, "volume": [2]},
        )
        report.record(replace(entry, **changes))


def test_a_cohort_is_found_with_its_model_and_what_failed(cohort):
    found = results.of_folder(cohort / "predictions")
    assert [result.case for result in found.found] == sorted(["right", NASTY, "empty"])
    assert found.task == tasks.read("phantom")
    assert found.origin.model == "5eed" * 16
    assert found.origin.plan == "patch: [8, 8, 8]\n"
    assert found.failed == (("<b>lost</b>", "lost.nii.gz cannot be read. Copy it anew."),)


def test_of_two_files_of_a_case_the_nifti_one_counts(folder):
    record(folder)
    (result,) = results.of_folder(folder).found
    assert result.label_map == folder / "a_seg.nii.gz"
    assert result.choice.volume == (2,)


def test_what_other_programs_read_alone_counts_for_no_case(folder):
    record(folder, suffixes=(".mrb", ".seg.nrrd"))
    (result,) = results.of_folder(folder).found
    assert result.label_map == folder / "a_seg.seg.nrrd"


def test_a_folder_of_such_files_alone_is_refused_with_what_to_do(folder):
    record(folder, suffixes=(".mrb",))
    with pytest.raises(UsageError, match=r"a_seg\.mrb\. Predict again with .* --format nii\.gz"):
        results.of_folder(folder)


def test_scans_of_one_name_in_several_folders_are_told_apart(folder):
    report = Report(folder / NAME, {"task": "hippocampus"})
    for name in ("x", "y"):
        for file in (folder.parent / name / "scan.nii.gz", folder / f"{name}_scan_seg.nii.gz"):
            file.parent.mkdir(exist_ok=True)
            file.touch()
        entry = Entry(
            case="scan",
            input=[str(folder.parent / name / "scan.nii.gz")],
            output=str(folder / f"{name}_scan_seg.nii.gz"),
            status="done",
            model="ab",
            inputs_state=[],
            settings={},
        )
        report.record(entry)
    assert [result.case for result in results.of_folder(folder).found] == ["x_scan", "y_scan"]


def test_labels_have_the_values_they_were_written_in(folder):
    record(folder, label_values={"anterior": 7, "posterior": 3}, channel_order=[1, 0])
    (result,) = results.of_folder(folder).found
    assert {name: label.value for name, label in result.task.labels.items()} == {
        "anterior": 7,
        "posterior": 3,
    }
    assert result.channel_order == (1, 0)


def test_folders_may_have_moved(folder, tmp_path):
    record(folder)
    moved, scans = tmp_path / "elsewhere", tmp_path / "scans"
    shutil.move(folder, moved)
    scans.mkdir()
    shutil.move(tmp_path / "scan.nii.gz", scans)
    (result,) = results.of_folder(moved, scans=[scans]).found
    assert result.label_map == moved / "a_seg.nii.gz"
    assert result.images == (scans / "scan.nii.gz",)
    with pytest.raises(DataError, match="is not there any more"):
        results.of_folder(moved)


def test_one_label_map_is_known_by_the_report_beside_it(folder):
    record(folder)
    found = results.of_file(folder / "a_seg.nii.gz")
    assert found.origin.model == "ab"
    assert found.found[0].images == (folder.parent / "scan.nii.gz",)
    named = results.of_file(folder / "a_seg.nii.gz", scans=[folder / "other.nii.gz"])
    assert named.found[0].images == (folder / "other.nii.gz",)


def test_one_label_map_on_its_own_needs_its_scan_and_task(folder, untrained):
    label_map, scan = folder / "a_seg.nii.gz", folder.parent / "scan.nii.gz"
    with pytest.raises(UsageError, match="tells its scan and what its labels mean"):
        results.of_file(label_map)
    found = results.of_file(label_map, scans=[scan], bundle=untrained)
    assert found.found[0].case == "a"
    assert found.task == untrained.task
    assert found.origin.model == untrained.hash
    assert found.origin.version is None
    with pytest.raises(ImageError, match="there is no such file"):
        results.of_file(folder / "b.nii.gz")


def test_a_report_that_does_not_say_what_labels_mean_needs_a_task(folder):
    record(folder, head={"task": "of_my_own"})
    with pytest.raises(UsageError, match="does not say what its labels mean"):
        results.of_folder(folder)
    assert results.of_folder(folder, task=tasks.read("hippocampus")).task.name == "hippocampus"


def test_a_folder_without_report_or_without_results_is_refused(folder):
    with pytest.raises(UsageError, match=r"has no report\.json"):
        results.of_folder(folder)
    record(folder, status="failed", error="broken")
    with pytest.raises(DataError, match="holds no segmentation"):
        results.of_folder(folder)


def test_reasons_lose_the_folders_but_keep_the_names():
    entry = Entry(
        case="a",
        input=["/home/doe/scans/a.nii.gz"],
        output="/home/doe/out/a_seg.nii.gz",
        status="failed",
        model="",
        inputs_state=[],
        error="differs from /home/doe/scans/b.nii.gz and /home/doe/out/a_seg.nii.gz",
    )
    assert results.without_paths(entry) == "differs from b.nii.gz and a_seg.nii.gz"
    assert results.without_paths(replace(entry, error=None)) == ""
