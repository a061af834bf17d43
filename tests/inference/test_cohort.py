from pathlib import Path

import pytest

from medseg import task as tasks
from medseg.data.cases import Case
from medseg.errors import ImageError, UsageError
from medseg.inference.cohort import (
    Job,
    Settings,
    entropy_path,
    files_of,
    from_anywhere,
    plan_jobs,
)
from medseg.inference.scans import Scan, find
from tests.fake_data import FORMS

TASK = tasks.read("hippocampus")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder that may be filled with files by name."""
    monkeypatch.chdir(tmp_path)

    def filled(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        return tmp_path

    return filled


def outputs(root, *inputs, out=None, suffix=".nii.gz"):
    """Plan and return the names of the outputs below `root`."""
    jobs = plan_jobs(find([root / name for name in inputs], TASK), out, suffix)
    return [job.output.relative_to(root).as_posix() for job in jobs]


def test_results_lie_beside_their_scans_unless_a_folder_is_given(here):
    root = here("x/a.nii.gz", "y/b.mha")
    assert outputs(root, "x/a.nii.gz", "y/b.mha") == ["x/a_seg.nii.gz", "y/b_seg.nii.gz"]
    found = outputs(root, "x/a.nii.gz", "y/b.mha", out=root / "out", suffix=".seg.nrrd")
    assert found == ["out/a_seg.seg.nrrd", "out/b_seg.seg.nrrd"]


def test_all_images_of_a_folder_are_taken_in_order(here):
    root = here("x/b.nii.gz", "x/a.nii", "x/notes.txt", "x/._a.nii", "x/deeper/notes.txt")
    assert outputs(root, "x") == ["x/a_seg.nii.gz", "x/b_seg.nii.gz"]


@pytest.mark.parametrize("result", ["a_seg.nii.gz", "a_seg.seg.nrrd", "a_seg.nii"])
def test_results_beside_their_scan_are_no_scans(here, result):
    root = here("x/a.nii.gz", f"x/{result}")
    assert outputs(root, "x") == ["x/a_seg.nii.gz"]


def test_a_scan_whose_name_ends_like_a_result_is_taken_if_alone(here):
    root = here("x/a_seg.nii.gz", "x/b.nii.gz")
    assert outputs(root, "x") == ["x/a_seg_seg.nii.gz", "x/b_seg.nii.gz"]
    here("y/a_seg.nii.gz", "y/a.nii.gz")
    assert outputs(root, "y/a_seg.nii.gz") == ["y/a_seg_seg.nii.gz"]


def test_scans_of_one_name_are_told_apart_by_their_folders(here):
    root = here("x/scan.nii.gz", "y/scan.nii.gz", "y/b.nii.gz")
    assert outputs(root, "x", "y", out=root / "out") == [
        "out/x_scan_seg.nii.gz",
        "out/b_seg.nii.gz",
        "out/y_scan_seg.nii.gz",
    ]
    assert outputs(root, "x", "y") == [
        "x/scan_seg.nii.gz",
        "y/b_seg.nii.gz",
        "y/scan_seg.nii.gz",
    ]


def test_formats_of_one_scan_are_told_apart_by_their_endings(here):
    root = here("x/a.nii", "x/a.nii.gz", "y/a.nii")
    assert outputs(root, "x") == ["x/a.nii_seg.nii.gz", "x/a.nii.gz_seg.nii.gz"]
    assert outputs(root, "x", "y", out=root / "out") == [
        "out/x_a.nii_seg.nii.gz",
        "out/x_a.nii.gz_seg.nii.gz",
        "out/y_a_seg.nii.gz",
    ]


def test_a_second_run_over_a_folder_plans_the_same(here):
    root = here("x/a.nii", "x/a.nii.gz", "x/b.nii")
    first = outputs(root, "x")
    here(*first)
    assert outputs(root, "x") == first


def test_names_that_differ_in_case_alone_get_different_results(here):
    root = here("x/Scan.nii", "y/scan.nii")
    found = outputs(root, "x", "y", out=root / "out")
    assert found == ["out/x_Scan_seg.nii.gz", "out/y_scan_seg.nii.gz"]


@pytest.mark.parametrize(
    "names",
    [
        ["p/x/a.nii", "q/x/a.nii", "q/x/x_a.nii"],
        ["p/x/a.nii", "q/x/a.nii", "r/x_a.nii_2.nii", "s/x_a.nii.nii"],
        ["x/a.nii", "y/a.nii", "z/x_a.nii", "z/X_A.nii.gz"],
        ["x/A.nii", "x/a.nii", "x/a.nii.gz", "x/a.nii_2.nii"],
    ],
)
@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("gathered", [True, False])
def test_no_two_scans_ever_share_a_result(here, names, turn, gathered):
    root = here(*names)
    found = outputs(root, *names[::turn], out=root / "out" if gathered else None)
    assert len({name.lower() for name in found}) == len(names)


def test_a_scan_given_twice_is_segmented_once(here, monkeypatch):
    root = here("x/a.nii")
    monkeypatch.chdir(root)
    assert outputs(root, "x/a.nii", "x", "x/a.nii") == ["x/a_seg.nii.gz"]


def test_one_scan_may_go_into_a_named_file(here):
    root = here("x/a.nii")
    assert outputs(root, "x/a.nii", out=root / "found.nii.gz") == ["found.nii.gz"]
    assert outputs(root, "x", out=root / "Found.NII.GZ") == ["Found.NII.GZ"]


def test_several_scans_cannot_go_into_one_file(here):
    root = here("x/a.nii", "x/b.nii")
    with pytest.raises(UsageError, match=r"2 scans cannot go into the one file .*Name a folder"):
        outputs(root, "x", out=root / "found.nii.gz")


def test_an_output_file_of_another_format_is_no_folder(here):
    root = here("x/a.nii")
    with pytest.raises(UsageError, match=r"found\.mha does not end in \.nii\.gz"):
        outputs(root, "x", out=root / "found.mha")


def test_a_folder_that_is_called_like_a_file_is_still_a_folder(here):
    root = here("x/a.nii", "odd.nii.gz/b.nii")
    assert outputs(root, "x", out=root / "odd.nii.gz") == ["odd.nii.gz/a_seg.nii.gz"]


def test_a_result_never_replaces_a_scan(here):
    root = here("x/a.nii.gz", "x/a_seg.nii.gz")
    for inputs, out in [
        (["x/a.nii.gz"], root / "x/a.nii.gz"),
        (["x/a.nii.gz"], root / "x/../x/a.nii.gz"),
        (["x/a.nii.gz"], root / "x/A.nii.gz"),
        (["x/a.nii.gz", "x/a_seg.nii.gz"], None),
        (["x/a.nii.gz", "x/a_seg.nii.gz"], root / "x"),
    ]:
        with pytest.raises(UsageError, match=r"is one of the scans\. Name another place"):
            outputs(root, *inputs, out=out)


def test_the_header_and_the_voxels_of_a_pair_are_one_scan(here):
    root = here("x/a.hdr", "x/a.img", "x/b.hdr.gz", "x/b.img.gz", "x/c.img")
    assert outputs(root, "x") == ["x/a_seg.nii.gz", "x/b_seg.nii.gz", "x/c_seg.nii.gz"]
    jobs = plan_jobs(find([root / "x"], TASK), None, ".nii.gz")
    assert [job.image.name for job in jobs] == ["a.img", "b.img.gz", "c.img"]


@pytest.mark.parametrize("names", [("IM0001", "IM0002"), ("1.dcm", "2.dcm")])
def test_a_folder_of_dicom_slices_is_one_scan_with_its_result_beside_it(here, names, monkeypatch):
    root = here(*(f"study/{name}" for name in names))
    for name in names:
        (root / "study" / name).write_bytes(bytes(128) + b"DICM")
    (job,) = plan_jobs(find([root / "study"], TASK), None, ".nii.gz")
    assert job.case == Case("study", (root / "study",))
    assert job.output == root / "study_seg.nii.gz"
    assert outputs(root, "study", out=root / "out") == ["out/study_seg.nii.gz"]
    monkeypatch.chdir(root / "study")
    assert plan_jobs(find([Path()], TASK), None, ".nii.gz") == [job]


def test_a_folder_without_images_and_a_missing_one_are_refused(here):
    root = here("x/notes.txt")
    with pytest.raises(ImageError, match=r"x: holds no image\. Give .*\.nii\.gz"):
        outputs(root, "x")
    with pytest.raises(ImageError, match="absent: there is no such file or folder"):
        outputs(root, "absent")


def test_cases_of_a_data_set_are_called_as_there(tmp_path):
    FORMS["brats_2023"](tmp_path / "data")
    scans = find([tmp_path / "data"], tasks.read("brats"))
    jobs = plan_jobs(scans, tmp_path / "out", ".nii.gz")
    assert [job.output.name for job in jobs][:1] == ["BraTS-GLI-00000-000_seg.nii.gz"]
    assert len(jobs) == 4
    assert len(jobs[0].case.images) == 4


def test_a_single_case_of_a_data_set_may_go_into_a_file(tmp_path):
    FORMS["brats_2021"](tmp_path / "data")
    folder = next((tmp_path / "data").rglob("BraTS2021_00001"))
    scans, out = find([folder], tasks.read("brats")), tmp_path / "mine.nii.gz"
    (job,) = plan_jobs(scans, out, ".nii.gz")
    assert (job.case.name, job.output) == ("BraTS2021_00001", out)


def test_a_data_set_needs_a_folder_for_its_results(tmp_path):
    FORMS["brats_2021"](tmp_path / "data")
    scans = find([tmp_path / "data"], tasks.read("brats"))
    with pytest.raises(UsageError, match="4 cases of BraTS 2021 need a folder"):
        plan_jobs(scans, None, ".nii.gz")
    with pytest.raises(UsageError, match="4 scans cannot go into the one file"):
        plan_jobs(scans, tmp_path / "mine.nii.gz", ".nii.gz")


def test_a_result_never_replaces_a_reference(tmp_path):
    FORMS["brats_2021"](tmp_path / "data")
    folder = next((tmp_path / "data").rglob("BraTS2021_00001"))
    with pytest.raises(UsageError, match=r"_seg\.nii\.gz is one of the references\. Name another"):
        plan_jobs(find([folder], tasks.read("brats")), folder, ".nii.gz")


def test_cases_without_a_label_map_may_have_their_result_beside_them(tmp_path):
    FORMS["brats_2021"](tmp_path / "data")
    folder = next((tmp_path / "data").rglob("BraTS2021_00001"))
    next(folder.glob("*_seg.nii.gz")).unlink()
    (job,) = plan_jobs(find([folder], tasks.read("brats")), None, ".nii.gz")
    assert job.output == folder / "BraTS2021_00001_seg.nii.gz"


def test_a_data_set_beside_loose_scans_is_planned_with_them(tmp_path, here):
    FORMS["acdc"](tmp_path / "acdc")
    root = here("x/a.nii.gz")
    scans = find([tmp_path / "acdc", root / "x" / "a.nii.gz"], tasks.read("acdc"))
    jobs = plan_jobs(scans, tmp_path / "out", ".nii.gz")
    assert [job.scan.matched is None for job in jobs] == [False] * 12 + [True]


def test_a_process_that_runs_elsewhere_finds_the_same_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = Case("a", (Path("a_t1.nii"), Path("a_t2.nii")), label=Path("a_seg.nii"), patient="p")
    job = from_anywhere(Job(Scan(case), Path("out/a.nii.gz"), (Path("out/a.mrb"),)))
    assert job.output == tmp_path / "out" / "a.nii.gz"
    assert job.beside == (tmp_path / "out" / "a.mrb",)
    assert job.case.images == (tmp_path / "a_t1.nii", tmp_path / "a_t2.nii")
    assert job.case.label == tmp_path / "a_seg.nii"
    assert (job.case.name, job.case.patient) == ("a", "p")


@pytest.mark.parametrize("name", ["a_seg.nii.gz", "a_seg.seg.nrrd", "a.nii.gz"])
def test_the_entropy_has_the_name_of_its_scan(tmp_path, name):
    assert entropy_path(tmp_path / name) == tmp_path / "entropy/a_entropy.nii.gz"


def test_the_files_of_a_job_end_with_its_output():
    job = Job(Scan(Case("a", (Path("a.nii"),))), Path("o/a_seg.nii.gz"), (Path("o/a_seg.mrb"),))
    assert files_of(job, Settings()) == (Path("o/a_seg.mrb"), Path("o/a_seg.nii.gz"))
    assert files_of(job, Settings(uncertainty=True))[0] == Path("o/entropy/a_entropy.nii.gz")
