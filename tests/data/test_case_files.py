"""What was made of a case is made anew when one of these changes."""

import os
from dataclasses import replace

import pytest

from medseg.data import case_files
from medseg.data.cases import Case


@pytest.fixture
def case(tmp_path):
    for name in ("a.nii.gz", "a_seg.nii.gz"):
        (tmp_path / name).write_bytes(b"voxels")
    return Case("a", (tmp_path / "a.nii.gz",), tmp_path / "a_seg.nii.gz")


def test_nothing_changed_is_the_same(case, hippocampus_task):
    first = case_files.digest(case, hippocampus_task, 1)
    assert case_files.digest(replace(case), hippocampus_task, 1) == first


@pytest.mark.parametrize("kind", ["image", "label"])
def test_another_size_or_time_is_another_case(case, hippocampus_task, kind):
    path = case.images[0] if kind == "image" else case.label
    first = case_files.digest(case, hippocampus_task)
    os.utime(path, ns=(1, 1))
    touched = case_files.digest(case, hippocampus_task)
    path.write_bytes(b"more voxels")
    os.utime(path, ns=(1, 1))
    assert len({first, touched, case_files.digest(case, hippocampus_task)}) == 3


def test_order_values_task_and_all_else_count(case, hippocampus_task, phantom_task):
    made = {
        case_files.digest(case, hippocampus_task),
        case_files.digest(case, phantom_task),
        case_files.digest(case, hippocampus_task, "else"),
        case_files.digest(replace(case, order=(0,)), hippocampus_task),
    }
    assert len(made) == 4


def test_every_slice_of_a_folder_and_both_files_of_a_pair_count(tmp_path, hippocampus_task):
    folder, pair = tmp_path / "series", tmp_path / "b.hdr"
    folder.mkdir()
    for path in (folder / "1.dcm", pair, tmp_path / "b.img"):
        path.write_bytes(b"x")
    cases = [Case("series", (folder,)), Case("pair", (pair,))]
    before = [case_files.digest(case, hippocampus_task) for case in cases]
    (folder / "2.dcm").write_bytes(b"x")
    (tmp_path / "b.img").write_bytes(b"longer")
    after = [case_files.digest(case, hippocampus_task) for case in cases]
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_file_that_is_gone_is_another_state(case, hippocampus_task):
    before = case_files.digest(case, hippocampus_task)
    case.images[0].unlink()
    assert case_files.digest(case, hippocampus_task) != before
