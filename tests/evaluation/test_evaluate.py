from pathlib import Path

import nibabel
import numpy as np
import pytest

from medseg import task as tasks
from medseg.errors import DataError, ImageError
from medseg.evaluation.evaluate import (
    case_of,
    evaluate,
    label_maps,
    reference_maps,
    references,
    side_by_side,
)
from medseg.evaluation.pair import Status
from tests.fake_data import FORMS

AFFINE = np.array([[-1.4, 0, 0, 3], [0, 1.4, 0, -7], [0, 0, 10, 5], [0, 0, 0, 1.0]])


CENTRED = np.eye(4)
CENTRED[:3, 3] = -15.5, -15.5, -11.5  # as the fake brains lie


def put(path, voxels, affine=AFFINE):
    path.parent.mkdir(exist_ok=True, parents=True)
    nibabel.Nifti1Image(voxels, affine).to_filename(path)


def block(*corner, value=1, dtype=np.uint8):
    label_map = np.zeros((10, 9, 8), dtype=dtype)
    i, j, k = corner
    label_map[i : i + 3, j : j + 3, k : k + 3] = value
    return label_map


@pytest.fixture
def folders(tmp_path):
    reference, prediction = tmp_path / "reference", tmp_path / "prediction"
    for case in ("a", "b"):
        put(reference / f"{case}.nii.gz", block(2, 2, 2))
    put(prediction / "a_seg.nii.gz", block(2, 2, 2))
    put(prediction / "b.nii.gz", block(2, 2, 3))
    return reference, prediction


def test_cases_are_matched_by_name_with_or_without_seg(folders, hippocampus_task):
    scores = evaluate(hippocampus_task, *folders)
    assert scores.cases == ["a", "b"]
    anterior = [row for row in scores.rows if row.region == "anterior"]
    assert (anterior[0].values["dice"], anterior[0].values["hd95_mm"]) == (1.0, 0.0)
    assert anterior[1].values["dice"] == pytest.approx(2 * 18 / 54)  # one slice of three is off
    assert anterior[1].values["hd95_mm"] == pytest.approx(10.0)


def test_each_case_is_announced_when_done(folders, hippocampus_task):
    done = []
    evaluate(hippocampus_task, *folders, on_case=done.append)
    assert done == ["a", "b"]


def test_a_choice_of_cases_needs_only_theirs(folders, hippocampus_task):
    (folders[1] / "b.nii.gz").unlink()
    assert evaluate(hippocampus_task, *folders, cases=["a"]).cases == ["a"]


def test_a_missing_prediction_is_refused(folders, hippocampus_task):
    (folders[1] / "b.nii.gz").unlink()
    with pytest.raises(DataError, match="no prediction for 1 of 2 cases: b"):
        evaluate(hippocampus_task, *folders)


def test_a_case_without_reference_is_refused_if_asked_for(folders, hippocampus_task):
    with pytest.raises(DataError, match="no reference for 1 of 1 cases: z"):
        evaluate(hippocampus_task, *folders, cases=["z"])


def test_missing_predictions_are_listed(tmp_path, hippocampus_task):
    reference, prediction = tmp_path / "reference", tmp_path / "prediction"
    for case in "abcd":
        put(reference / f"{case}.nii.gz", block(2, 2, 2))
    put(prediction / "c.nii.gz", block(2, 2, 2))
    with pytest.raises(DataError, match="no prediction for 3 of 4 cases: a, b, d"):
        evaluate(hippocampus_task, reference, prediction)


def test_predictions_without_reference_are_listed(folders, hippocampus_task):
    for case in ("z", "y"):
        put(folders[1] / f"{case}.nii.gz", block(1, 1, 1))
    with pytest.raises(DataError, match="predictions of 2 cases without a reference: y, z"):
        evaluate(hippocampus_task, *folders)


def test_beside_chosen_cases_predictions_without_reference_are_named(folders, hippocampus_task):
    put(folders[1] / "z.nii.gz", block(1, 1, 1))
    assert evaluate(hippocampus_task, *folders, cases=["a"]).without_reference == ("z",)


@pytest.mark.parametrize("role", ["_seg", "-seg", "_gt", ""])
def test_a_case_is_its_name_without_what_says_that_it_is_a_label_map(role):
    assert case_of(Path(f"BraTS-GLI-00000-000{role}.nii.gz")) == "BraTS-GLI-00000-000"


def test_a_prediction_of_another_shape_is_refused(folders, hippocampus_task):
    put(folders[1] / "b.nii.gz", block(2, 2, 2)[:-1])
    with pytest.raises(DataError, match=r"b\.nii\.gz: has the shape \(9, 9, 8\)"):
        evaluate(hippocampus_task, *folders)


def test_a_prediction_elsewhere_in_the_patient_is_refused(folders, hippocampus_task):
    moved = AFFINE.copy()
    moved[2, 3] += 0.5
    put(folders[1] / "b.nii.gz", block(2, 2, 2), moved)
    with pytest.raises(DataError, match=r"b\.nii\.gz: lies elsewhere in the patient"):
        evaluate(hippocampus_task, *folders)


def test_an_unknown_label_value_is_refused(folders, hippocampus_task):
    put(folders[1] / "b.nii.gz", block(2, 2, 2, value=7))
    with pytest.raises(DataError, match=r"b\.nii\.gz: holds the value 7"):
        evaluate(hippocampus_task, *folders)


def test_all_cases_that_do_not_fit_are_listed(tmp_path, hippocampus_task):
    reference, prediction = tmp_path / "reference", tmp_path / "prediction"
    moved = AFFINE.copy()
    moved[2, 3] += 0.5
    for case, voxels, affine in (
        ("a", block(2, 2, 2), AFFINE),
        ("b", block(2, 2, 2)[:-1], AFFINE),
        ("c", block(2, 2, 2), moved),
        ("d", block(2, 2, 2, value=7), AFFINE),
    ):
        put(reference / f"{case}.nii.gz", block(2, 2, 2))
        put(prediction / f"{case}.nii.gz", voxels, affine)
    with pytest.raises(DataError) as caught:
        evaluate(hippocampus_task, reference, prediction)
    said = str(caught.value)
    assert "3 of 4 cases cannot be scored: b has the shape (9, 9, 8)" in said
    assert "; c lies elsewhere in the patient" in said
    assert "; d holds the value 7, which is no label of task hippocampus" in said
    assert ". b, c: Predict on the scan the reference was drawn on, or bring it there" in said
    assert ". d: Give a label map of this task" in said
    assert "\n" not in said


def test_unknown_labels_of_references_are_errors_too(folders, hippocampus_task):
    put(folders[0] / "a.nii.gz", block(2, 2, 2, value=9))
    with pytest.raises(DataError, match=r"reference/a\.nii\.gz: holds the value 9"):
        evaluate(hippocampus_task, *folders)


def test_a_prediction_is_brought_onto_its_reference_s_grid_when_asked(folders, hippocampus_task):
    # voxels of half the height: two for each of the reference's, so that the labels are the same
    fine = AFFINE.copy()
    fine[2, 2] = 5.0
    fine[2, 3] -= 2.5
    put(folders[1] / "b.nii.gz", block(2, 2, 2).repeat(2, axis=2), fine)
    with pytest.raises(DataError, match=r"b\.nii\.gz: has the shape .* with --resample"):
        evaluate(hippocampus_task, *folders)
    known = references(hippocampus_task, folders[0])
    scores = side_by_side(known, folders[1], conventions=["medseg"], resample=True)
    assert scores["medseg"].region_mean("dice", "anterior") == 1.0


def test_a_prediction_outside_its_reference_s_box_is_refused(folders, hippocampus_task):
    away = AFFINE.copy()
    away[2, 3] += 500
    put(folders[1] / "a_seg.nii.gz", block(2, 2, 2), away)
    beyond = np.zeros((10, 9, 12), dtype=np.uint8)
    beyond[:3, :3, 9:11] = 1  # 18 voxels of 19.6 mm3 above the last of eight slices
    put(folders[1] / "b.nii.gz", beyond)
    known = references(hippocampus_task, folders[0])
    with pytest.raises(DataError) as caught:
        side_by_side(known, folders[1], conventions=["medseg"], resample=True)
    said = str(caught.value)
    assert "a lies nowhere near its reference: the two boxes do not overlap" in said
    assert "b labels 0.353 mL outside its reference's box" in said


def test_a_sheared_reference_is_refused(folders, hippocampus_task):
    tilted = AFFINE.copy()
    tilted[1, 2] = 2.0  # 10 mm up, 2 mm forward: 11 degrees
    for folder, name in zip(folders, ("a", "a_seg"), strict=True):
        put(folder / f"{name}.nii.gz", block(2, 2, 2), tilted)
    with pytest.raises(DataError, match=r"a\.nii\.gz: has axes at an angle of 78\.7 degrees"):
        evaluate(hippocampus_task, *folders)


def test_a_hundred_and_eighteen_classes_are_scored(tmp_path, hippocampus_task, rng):
    label = hippocampus_task.labels["anterior"]
    labels = {f"part_{n}": label.model_copy(update={"value": n}) for n in range(1, 119)}
    task = hippocampus_task.model_copy(update={"labels": labels})
    known = rng.integers(0, 119, size=(20, 20, 20)).astype(np.uint8)
    known[known == 77] = 0
    found = np.where(known == 5, 0, known)
    put(tmp_path / "reference/a.nii.gz", known)
    put(tmp_path / "prediction/a.nii.gz", found)
    scores = evaluate(task, tmp_path / "reference", tmp_path / "prediction")
    assert len(scores.regions) == 118
    assert (scores.count(Status.ABSENT), scores.count(Status.MISSED)) == (1, 1)
    assert scores.mean("dice") == pytest.approx(116 / 117)


def test_a_probability_map_is_no_label_map(folders, hippocampus_task):
    put(folders[1] / "b.nii.gz", block(2, 2, 2, value=0.5, dtype=np.float32))
    with pytest.raises(DataError, match=r"holds the value 0\.5"):
        evaluate(hippocampus_task, *folders)


def test_labels_stored_as_floating_point_are_read(folders, hippocampus_task):
    put(folders[1] / "b.nii.gz", block(2, 2, 2, dtype=np.float32))
    assert evaluate(hippocampus_task, *folders).region_mean("dice", "anterior") == 1.0


def test_a_scan_is_no_label_map(folders, hippocampus_task):
    put(folders[1] / "b.nii.gz", np.stack([block(2, 2, 2)] * 2, axis=3))
    with pytest.raises(DataError, match="has 2 channels"):
        evaluate(hippocampus_task, *folders)


def test_a_damaged_prediction_is_named(folders, hippocampus_task):
    (folders[1] / "b.nii.gz").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"b\.nii\.gz: cannot be read"):
        evaluate(hippocampus_task, *folders)


def test_a_missing_folder_and_an_empty_one_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        label_maps(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no label maps"):
        label_maps(tmp_path)


def test_two_files_of_one_case_are_refused(folders):
    put(folders[1] / "a.nii.gz", block(2, 2, 2))
    said = r"a\.nii\.gz, a_seg\.nii\.gz are of one case\. Put .* into a folder of their own"
    with pytest.raises(DataError, match=said):
        label_maps(folders[1])


def test_among_references_the_scan_of_a_case_is_passed_over(tmp_path):
    for name in ("patient001_frame01", "patient001_frame01_gt", "patient001_frame12_gt"):
        put(tmp_path / f"{name}.nii.gz", block(2, 2, 2))
    assert {case: path.name for case, path in reference_maps(tmp_path).items()} == {
        "patient001_frame01": "patient001_frame01_gt.nii.gz",
        "patient001_frame12": "patient001_frame12_gt.nii.gz",
    }
    put(tmp_path / "patient001_frame12_seg.nii.gz", block(2, 2, 2))
    with pytest.raises(DataError, match="are of one case"):
        reference_maps(tmp_path)


def test_a_folder_of_folders_is_told_where_its_label_maps_lie(tmp_path):
    put(tmp_path / "patient001/patient001_frame01_gt.nii.gz", block(2, 2, 2))
    with pytest.raises(DataError, match=r"holds no label maps, but .*/patient001 does\. Give one"):
        reference_maps(tmp_path)


def test_hidden_files_are_passed_over(folders):
    (folders[1] / "._a_seg.nii.gz").write_bytes(b"left by macOS")
    assert sorted(label_maps(folders[1])) == ["a", "b"]


def test_conventions_are_scored_side_by_side(folders, hippocampus_task):
    put(folders[1] / "b.nii.gz", block(2, 2, 2, value=2))
    known = references(hippocampus_task, folders[0])
    scores = side_by_side(known, folders[1], conventions=["medseg", "transunet"])
    assert list(scores) == ["medseg", "transunet"]
    assert [one.convention for one in scores.values()] == ["medseg", "transunet"]
    # the anterior part of b is missed, and its posterior part made up
    assert scores["medseg"].region_mean("dice", "posterior") == 0.0
    assert scores["transunet"].region_mean("dice", "posterior") == 0.5
    assert scores["transunet"].region_mean("hd95_voxels", "anterior") == 0.0
    assert scores["medseg"].region_mean("hd95_mm", "anterior") > 0.0


def test_a_data_set_is_its_own_reference_in_its_own_values(tmp_path):
    FORMS["brats_2023"](tmp_path / "data")
    known = references(tasks.read("brats"), tmp_path / "data")
    assert known.is_data_set
    assert known.task.labels["enhancing"].value == 3
    for case, path in known.paths.items():
        put(
            tmp_path / "predicted" / f"{case}.nii.gz",
            np.asarray(nibabel.load(path).dataobj),
            CENTRED,
        )
    scores = evaluate(tasks.read("brats"), tmp_path / "data", tmp_path / "predicted")
    assert scores.mean("dice") == 1.0
    assert len(scores.cases) == 4


def test_predictions_of_cases_without_a_reference_are_passed_over_in_a_data_set(tmp_path):
    FORMS["brats_2020"](tmp_path / "data")
    known = references(tasks.read("brats"), tmp_path / "data")
    assert known.unlabelled == {"BraTS20_Validation_001"}
    assert "BraTS20_Validation_001" not in known.paths
