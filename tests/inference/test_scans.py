import json

import pytest

from medseg import task as tasks
from medseg.errors import ImageError, UsageError
from medseg.inference.cohort import plan_jobs
from medseg.inference.report import Report
from medseg.inference.scans import by_channel, find
from tests.fake_data import FORMS

LABEL = 'labels: {a: {value: 1, colour: "#dd8265", code: SCT^1^A}}'


def task_of(*channels):
    listed = ", ".join(f"{channel}: mr" for channel in channels)
    return tasks.parse(
        f"name: test\ntitle: Test\nlayout: decathlon\nchannels: {{{listed}}}\n{LABEL}", where="test"
    )


BRATS = task_of("t1", "t1ce", "t2", "flair")
ONE = task_of("t1")


@pytest.fixture
def here(tmp_path):
    """Makes empty files by name and returns their folder."""

    def filled(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        return tmp_path

    return filled


def found(task, *paths):
    """The names of cases with those of their files; an error's text for those that cannot be."""
    return {
        scan.case.name: str(scan.fault) if scan.fault else [p.name for p in scan.case.images]
        for scan in find(list(paths), task)
    }


@pytest.mark.parametrize(
    "names",
    [("_t1", "_t1ce", "_t2", "_flair", "_seg"), ("-t1n", "-t1c", "-t2w", "-t2f", "-seg")],
)
def test_a_folder_of_brats_cases_is_put_together_in_the_task_s_order(here, names):
    root = here(*(f"{case}/{case}{name}.nii.gz" for case in ("C-1", "C-2") for name in names))
    images = [f"C-1{name}.nii.gz" for name in names[:4]]
    assert found(BRATS, root / "C-1") == {"C-1": images}
    assert found(BRATS, root).keys() == {"C-1", "C-2"}


def test_numbered_channels_are_in_the_task_s_order(here):
    names = [f"case_{n}_000{channel}.nii.gz" for n in (1, 2) for channel in range(4)]
    assert found(BRATS, here(*names)) == {"case_1": names[:4], "case_2": names[4:]}


def test_more_numbered_channels_than_the_task_has_are_refused(here):
    root = here(*(f"a_000{channel}.nii.gz" for channel in range(5)))
    assert "has 5 channels, but task test has t1, t1ce, t2, flair alone" in found(BRATS, root)["a"]
    assert "has 5 channels, but task test has t1 alone" in found(ONE, root)["a"]


def test_a_data_set_s_own_names_come_before_the_numbers(here):
    root = here(*(f"imagesTs/a_000{channel}.nii.gz" for channel in range(4)))
    named = {"0": "FLAIR", "1": "T1w", "2": "T1Gd", "3": "T2w"}
    (root / "dataset.json").write_text(json.dumps({"channel_names": named}))
    assert found(BRATS, root / "imagesTs") == {"a": [f"a_000{n}.nii.gz" for n in (1, 2, 3, 0)]}


def test_a_case_that_lacks_a_channel_does_not_hide_the_others(here):
    names = [f"a_{channel}.nii.gz" for channel in ("t1", "t1ce", "t2", "flair")]
    root = here(*names, "b_t1.nii.gz", "b_flair.nii.gz")
    cases = found(BRATS, root)
    assert cases["a"] == names
    assert "lacks the channel t1ce, t2 of task test; it has flair, t1" in cases["b"]


def test_acdc_s_frames_are_scans_and_its_films_and_labels_are_not(here):
    root = here(
        *(f"patient001/patient001_{part}.nii.gz" for part in ("4d", "frame01", "frame01_gt")),
        *(f"patient001/patient001_{part}.nii.gz" for part in ("frame12", "frame12_gt")),
        "patient001/Info.cfg",
    )
    assert found(ONE, root).keys() == {"patient001_frame01", "patient001_frame12"}


def test_a_task_of_one_channel_takes_its_own_of_several(here):
    assert found(ONE, here("a_t1.nii.gz", "a_t2.nii.gz")) == {"a": ["a_t1.nii.gz"]}


def test_files_that_hold_all_channels_are_cases(here):
    assert found(BRATS, here("a.nii.gz", "b.nii.gz", "b_seg.nii.gz")).keys() == {"a", "b"}


def test_a_name_that_tells_of_another_channel_is_refused(here):
    root = here("a_t2.nii.gz")
    fault = found(ONE, root / "a_t2.nii.gz")["a_t2"]
    assert "is taken for the channel t1, but its name says t2" in fault


def test_folders_below_folders_are_searched_but_not_beside_images(here):
    root = here("x/deep/er/a.nii", "y/b.nii", "y/not/c.nii", "z/notes.txt", "x/.hidden/d.nii")
    assert found(task_of("only"), root).keys() == {"a", "b"}
    remarks = {scan.case.name: scan.remark for scan in find([root], task_of("only"))}
    assert remarks["a"] is None
    assert "folders beside it that hold images, 1 in number, were not searched" in remarks["b"]
    with pytest.raises(ImageError, match="z: holds no image"):
        find([root / "z"], ONE)


def test_channels_are_named_one_by_one_in_any_order_and_spelling(here):
    root = here(*(f"a_{name}.nii" for name in ("t1", "t1ce", "t2", "fl")))
    given = {
        "flair": root / "a_fl.nii",
        "t1c": root / "a_t1ce.nii",
        "t1": root / "a_t1.nii",
        "T2w": root / "a_t2.nii",
    }
    scan = by_channel(given, BRATS)
    assert [p.name for p in scan.case.images] == ["a_t1.nii", "a_t1ce.nii", "a_t2.nii", "a_fl.nii"]
    assert scan.case.name == "a"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"t1": "a", "ct": "b"}, "has no channel 'ct'; it has t1, t1ce, t2, flair"),
        ({"t1": "a", "t1n": "b"}, "channel t1 was given twice"),
        ({"t1": "a", "t2": "b"}, "needs 4 channels, and t1ce, flair was not given"),
        (
            {"t1": "a_t2", "t1ce": "b", "t2": "c", "flair": "d"},
            "a_t2: is taken for the channel t1, but its name says t2",
        ),
    ],
)
def test_wrong_channels_are_refused(tmp_path, given, said):
    with pytest.raises(UsageError) as caught:
        by_channel({name: tmp_path / path for name, path in given.items()}, BRATS)
    assert said in str(caught.value)


def test_a_data_set_s_cases_keep_its_label_values(tmp_path):
    FORMS["brats_2023"](tmp_path / "data")
    scans = find([tmp_path / "data"], tasks.read("brats"))
    assert [scan.matched.task.labels["enhancing"].value for scan in scans] == [3] * 4
    assert {scan.matched for scan in find([tmp_path / "data"], BRATS)} == {None}  # other labels


def test_scans_side_by_side_with_their_labels_are_of_no_data_set(tmp_path):
    FORMS["pairs"](tmp_path / "flat")
    scans = find([tmp_path / "flat"], tasks.read("hippocampus"))
    assert [scan.matched for scan in scans] == [None] * 4


def test_a_data_set_that_contradicts_itself_is_not_taken_in_silence(tmp_path):
    FORMS["brats_2023"](tmp_path / "Doe")
    FORMS["brats_2021"](tmp_path / "Doe")
    scans = find([tmp_path / "Doe"], tasks.read("brats"))
    assert len(scans) == 8
    for scan in scans:
        assert scan.matched is None
        assert "labels are written with the model's own values" in scan.remark
        assert "Doe" not in scan.remark  # it goes into reports, which name no folder
    one = next(path.parent for path in (tmp_path / "Doe").rglob("*-t1n.nii.gz"))
    assert [scan.remark for scan in find([one], tasks.read("brats"))] == [None]


def test_results_beside_a_folder_of_slices_are_no_scans(here):
    root = here("p1/a.dcm", "p1_seg.nii.gz", "p1_seg.dcm", "p1_seg.csv")
    (root / "p1" / "a.dcm").write_bytes(bytes(128) + b"DICM")
    classed = b"\x02\x00\x02\x00UI\x1c\x001.2.840.10008.5.1.4.1.1.66.4\x00"  # of a segmentation
    (root / "p1_seg.dcm").write_bytes(bytes(128) + b"DICM" + classed)
    assert [scan.case.images for scan in find([root], ONE)] == [(root / "p1",)]


@pytest.mark.parametrize(
    ("names", "odd", "said"),
    [
        (["atlas.nii", "c1/a.nii", "c2/b.nii"], {"atlas"}, "beside folders that hold scans, 2 in"),
        (["a.nii", "b.nii", "old/c.nii"], {"c"}, "in a folder beside scans, 2 in number"),
    ],
)
def test_a_stray_image_hides_no_folders_and_is_told_of(here, names, odd, said):
    scans = find([here(*names, "notes/x.txt")], task_of("only"))
    assert {f"{scan.case.images[0].name}" for scan in scans} == {n.split("/")[-1] for n in names}
    assert {scan.case.name for scan in scans if scan.remark} == odd
    assert all(said in scan.remark for scan in scans if scan.remark)


def test_a_stray_dicom_file_hides_no_folders(here):
    root = here("IM1.dcm", "c1/a.nii", "c2/b.nii")
    (root / "IM1.dcm").write_bytes(bytes(128) + b"DICM")
    assert {scan.case.images[0] for scan in find([root], ONE)} == {
        *(root, root / "c1/a.nii", root / "c2/b.nii")
    }


def reported(out, *names):
    """Write empty results and the report that names them."""
    out.mkdir(exist_ok=True)
    for name in names:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"")
    Report(out / "report.json", {}).announce([out / name for name in names])


RESULTS = ("a_seg.nii.gz", "a_seg.seg.nrrd", "entropy/a_entropy.nii.gz", "b_seg.nii.gz")


@pytest.mark.parametrize("place", ["out", "c1/out", "."])
def test_results_within_the_cohort_are_no_scans(here, place):
    root = here("c1/a.nii", "c2/b.nii")
    before = find([root], ONE)
    reported(root / place, *RESULTS)
    assert find([root], ONE) == before
    if place == "out":  # named too where a shell puts folders in place of a pattern
        assert find(sorted(root.iterdir()), ONE) == before


def test_results_alone_are_no_scans(here):
    root = here("out/notes.txt")
    reported(root / "out", *RESULTS)
    with pytest.raises(ImageError, match="out: holds no image"):
        find([root / "out"], ONE)


@pytest.mark.parametrize(
    ("form", "task"),
    [("brats_2021", "brats"), ("case_folders", "brats"), ("folders", "hippocampus")],
)
def test_results_within_a_data_set_are_not_of_it(tmp_path, form, task):
    FORMS[form](tmp_path)
    before = find([tmp_path], tasks.read(task))
    assert all(scan.matched for scan in before)
    jobs = plan_jobs(before, tmp_path / "labels_found", ".nii.gz")
    reported(tmp_path / "labels_found", *(job.output.name for job in jobs))
    after = find([tmp_path], tasks.read(task))
    assert [scan.case for scan in after] == [scan.case for scan in before]
    assert all(scan.matched for scan in after)
