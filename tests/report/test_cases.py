from dataclasses import replace

import nibabel
import numpy as np
import pytest

from medseg.errors import DataError
from medseg.evaluation import evaluate
from medseg.report import cases, results
from tests.fake_results import NASTY, SHAPE, affine_of, bodies


@pytest.fixture
def result(cohort):
    found = results.of_folder(cohort / "predictions").found
    return next(each for each in found if each.case == NASTY)


def test_a_case_is_read_with_its_reference(result, cohort, task):
    case = cases.read(result, evaluate.references(task, cohort / "labels"))
    assert (case.segmentation.label_map == bodies(2)).all()
    assert (case.reference.label_map == bodies()).all()
    assert case.quality == result.entry.quality
    assert case.files == (f"{NASTY}.nii.gz", f"{NASTY}_seg.nii.gz")


def test_a_summary_measures_regions_and_scores_them(result, cohort, task):
    case = cases.read(result, evaluate.references(task, cohort / "labels"))
    measured = cases.summary(case)
    voxel_ml = abs(np.linalg.det(affine_of()[:3, :3])) / 1000
    core = np.isin(bodies(2), (2, 4))
    assert measured.volumes_ml["core"] == pytest.approx(core.sum() * voxel_ml)
    known = np.isin(bodies(), (2, 4))
    dice = 2 * (core & known).sum() / (core.sum() + known.sum())
    (score,) = (row for row in measured.scores if row.region == "core")
    assert score.values["dice"] == pytest.approx(dice)


def test_without_reference_nothing_is_scored(result, cohort, task, tmp_path):
    case = cases.read(result)
    assert case.reference is None
    assert cases.summary(case).scores == ()
    others = tmp_path / "labels"
    others.mkdir()
    (others / "other.nii.gz").write_bytes((cohort / "labels" / "right.nii.gz").read_bytes())
    assert cases.read(result, evaluate.references(task, others)).reference is None


def test_labels_in_other_values_are_told_by_their_names(result, cohort, task, put, tmp_path):
    values = {"rim": 4, "mantle": 1, "inner": 2}
    labels = {
        name: one.model_copy(update={"value": values[name]}) for name, one in task.labels.items()
    }
    other = task.model_copy(update={"labels": labels})
    permuted = np.choose(bodies(2), [0, 4, 1, 0, 2]).astype(np.uint8)
    path = put(tmp_path / "a_seg.nii.gz", permuted, affine_of())
    known = replace(evaluate.references(task, cohort / "labels"), is_data_set=True)
    moved = replace(result, label_map=path, task=other)
    scores = cases.summary(cases.read(moved, known)).scores
    plain = cases.summary(cases.read(result, known)).scores
    assert [row.values["dice"] for row in scores] == [row.values["dice"] for row in plain]


def test_what_was_not_judged_before_is_judged_now(result):
    case = cases.read(replace(result, entry=None))
    assert case.quality["verdict"] in {"pass", "check"}
    assert case.quality["labels"]["inner"]["components"] == 1
    assert case.seconds is None
    assert case.judged_alone
    assert not cases.read(result).judged_alone


def test_voxels_in_another_order_and_without_empty_slices_are_put_in_place(result, put, tmp_path):
    filled = np.flatnonzero(bodies().any(axis=(0, 1)))
    first, last = int(filled[0]), int(filled[-1])
    affine = affine_of()
    affine[:3, 3] = (affine @ (0, 0, last, 1))[:3]
    affine[:3, :3] = affine[:3, [1, 0, 2]] * (1, 1, -1)  # as a DICOM segmentation may have them
    turned = bodies()[:, :, first : last + 1].transpose(1, 0, 2)[:, :, ::-1]
    path = put(tmp_path / "a_seg.nii.gz", np.ascontiguousarray(turned), affine)
    case = cases.read(replace(result, label_map=path))
    assert (case.segmentation.label_map == bodies()).all()
    assert case.segmentation.grid.matches(case.scan.grid)


def test_labels_beyond_the_scan_are_refused(result, put, tmp_path):
    affine = affine_of()
    affine[:3, 3] = (affine @ (30, 0, 0, 1))[:3]
    path = put(tmp_path / "a_seg.nii.gz", bodies(), affine)
    with pytest.raises(DataError, match="lies on another grid than its scan"):
        cases.read(replace(result, label_map=path))


def test_a_label_map_of_another_grid_is_refused(result, put, tmp_path):
    shifted = affine_of()
    shifted[0, 3] += 5
    path = put(tmp_path / "a_seg.nii.gz", bodies(), shifted)
    with pytest.raises(DataError, match="lies on another grid than its scan"):
        cases.read(replace(result, label_map=path))


def test_a_reference_of_another_grid_is_refused(result, put, task, tmp_path):
    put(tmp_path / "labels" / f"{NASTY}.nii.gz", bodies()[:, :, :-1], affine_of())
    known = evaluate.references(task, tmp_path / "labels")
    with pytest.raises(DataError, match="has the shape"):
        cases.read(result, known)


def test_the_channels_come_in_the_tasks_order(result):
    plain = cases.read(result).scan.voxels
    turned = cases.read(replace(result, channel_order=(1, 0))).scan.voxels
    assert (turned == plain[::-1]).all()
    assert nibabel.load(result.images[0]).shape[:3] == SHAPE
