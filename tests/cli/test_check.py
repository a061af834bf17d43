"""`medseg check`: each finding with case, cause and fix."""

import json
import shutil

import nibabel
import numpy as np
import pytest

from medseg.__main__ import run
from tests.fake_data import FORMS, save

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def brats(tmp_path):
    """Four cases of BraTS 2021, to be damaged."""
    FORMS["brats_2021"](tmp_path / "data")
    return tmp_path / "data" / "BraTS2021_Training_Data"


@pytest.fixture
def organs(tmp_path):
    """Liver and spleen in two folders, to be damaged."""
    FORMS["folders"](tmp_path / "organs")
    return tmp_path / "organs"


@pytest.fixture
def checked(tmp_path, capsys):
    """Checks a folder and returns the exit code, what was shown and check.json."""

    def done(data, *arguments):
        code = run(["check", str(data), "-o", str(tmp_path / "out"), *arguments])
        path = tmp_path / "out" / "check.json"
        document = json.loads(path.read_text()) if path.exists() else {}
        return code, capsys.readouterr().out, document

    return done


def path_of(folder, number, role):
    name = f"BraTS2021_{number:05d}"
    return folder / name / f"{name}_{role}.nii.gz"


def changed(path, change):
    image = nibabel.load(path)
    voxels = np.asarray(image.dataobj).copy()
    nibabel.save(nibabel.Nifti1Image(change(voxels), image.affine), path)


def test_sound_data_are_described(brats, checked, tmp_path):
    code, shown, document = checked(brats)
    assert code == 0
    assert "Recognised: BraTS 2021; task brats (necrosis 1, oedema 2, enhancing 4)" in shown
    assert "Confirmed: the label values 1, 2, 4 are those of BraTS 2021" in shown
    assert "Split folds: 3 cases to train on, 1 held out" in shown
    for heading in ("Shapes (RAS)", "Spacings (RAS)", "Orientations: RAS (4)", "Label oedema"):
        assert heading in shown
    assert document["sound"]
    assert document["findings"] == []
    case = document["cases"]["BraTS2021_00000"]
    assert case["shape"] == [32, 32, 24]
    assert case["file_values"].keys() == {"0", "1", "2", "4"}
    assert (tmp_path / "out" / "thumbnails.png").read_bytes().startswith(b"\x89PNG")


FAULTS = {
    "cut off": ("t1", lambda path: path.write_bytes(path.read_bytes()[:500]), "cannot be read"),
    "missing": ("t2", lambda path: path.unlink(), "there is no such file"),
    "another grid": ("t2", lambda path: changed(path, lambda v: v[1:]), "another grid than"),
    "labels elsewhere": ("seg", lambda path: changed(path, lambda v: v[1:]), "another grid than"),
    "NaN": ("t1", lambda path: changed(path, lambda v: np.where(v > 99, np.nan, v)), "NaN"),
    "unknown label": ("seg", lambda path: changed(path, lambda v: v * 2), "hold 1, 2, 4, 8"),
    "empty": ("seg", lambda path: changed(path, lambda v: v * 0), "its label map is empty"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_with_its_case_cause_and_fix(brats, checked, fault):
    role, damage, cause = FAULTS[fault]
    damage(path_of(brats, 2, role))
    code, shown, document = checked(brats)
    assert code == 1
    assert "Training would go wrong" in shown
    told = [f for f in document["findings"] if cause in f["cause"]]
    assert told
    assert told[0]["case"] in ("BraTS2021_00002", "all")
    assert told[0]["fix"]


@pytest.mark.slow
def test_training_stops_for_what_it_cannot_use(brats, tmp_path, capsys):
    for number in (1, 2):
        changed(path_of(brats, number, "t1"), lambda v: np.where(v > 99, np.nan, v))
    assert run(["train", "--data", str(brats), "--out", str(tmp_path / "run")]) == 4
    shown = capsys.readouterr().err
    assert "2 cases cannot be used" in shown
    assert "BraTS2021_00001" in shown
    assert "BraTS2021_00002" in shown


def test_a_case_that_is_there_twice_is_found(brats, checked):
    for path in (brats / "BraTS2021_00001").iterdir():
        shutil.copy(path, path_of(brats, 0, path.name.split("_")[-1].split(".")[0]))
    code, _, document = checked(brats)
    (finding,) = document["findings"]
    assert code == 1
    assert finding["case"] == "BraTS2021_00000, BraTS2021_00001"
    assert "have the same image" in finding["cause"]


def test_flair_and_t1_that_look_exchanged_are_found(brats, checked):
    one, other = path_of(brats, 3, "t1"), path_of(brats, 3, "flair")
    one.rename(one.with_name("kept"))
    other.rename(one)
    one.with_name("kept").rename(other)
    code, _, document = checked(brats)
    (finding,) = document["findings"]
    assert code == 1
    assert finding["case"] == "BraTS2021_00003"
    assert finding["cause"] == "flair and t1 look exchanged"


def test_a_mirrored_case_is_found(organs, checked):
    for part in ("images", "labels"):
        changed(organs / part / "scan_1.nii.gz", lambda v: v[::-1])
    code, _, document = checked(organs)
    (finding,) = document["findings"]
    assert code == 1
    assert finding["case"] == "scan_1"
    assert finding["cause"].startswith("liver lies left of spleen")


def test_a_spacing_and_a_range_unlike_the_others_are_found(organs, checked):
    for part in ("images", "labels"):
        path = organs / part / "scan_0.nii.gz"
        save(path, np.asarray(nibabel.load(path).dataobj), (0.9, 0.9, 1.0))
    path = organs / "images" / "scan_2.nii.gz"
    changed(path, lambda v: (v / 4000).astype(np.float32))
    code, _, document = checked(organs)
    assert code == 1
    causes = {finding["case"]: finding["cause"] for finding in document["findings"]}
    assert "its voxels are 0.9x0.9x1 mm, those of the others about 9x9x10 mm" in causes["scan_0"]
    assert "values span" in causes["scan_2"]


def test_values_of_another_edition_are_a_contradiction_that_is_explained(brats, checked):
    for number in range(4):  # as copies for nnU-Net are renumbered
        changed(path_of(brats, number, "seg"), lambda v: np.where(v == 4, 3, v).astype(np.uint8))
    code, shown, _ = checked(brats)
    assert code == 1
    assert "named as in BraTS 2021, where values mean 1 necrosis, 2 oedema, 4 enhancing" in shown
    assert "but the label maps hold 1, 2, 3" in shown


def test_a_single_patient_cannot_be_divided(brats, checked):
    for number in (1, 2, 3):
        shutil.rmtree(brats / f"BraTS2021_{number:05d}")
    code, shown, _ = checked(brats)
    assert code == 1
    assert "a single patient cannot be split" in shown


def test_what_is_no_data_set_is_told(tmp_path, checked, capsys):
    (tmp_path / "empty").mkdir()
    code, shown, _ = checked(tmp_path / "empty")
    assert code == 1
    assert "holds no data that medseg knows" in shown
    assert run(["check", str(tmp_path / "absent")]) == 4
    capsys.readouterr()


def test_another_task_split_or_numbering_can_be_asked_for(tmp_path, checked, capsys):
    FORMS["synapse_subset_compacted"](tmp_path / "synapse")
    code, shown, _ = checked(tmp_path / "synapse", "--split", "24-6")
    assert code == 0
    assert "Split 24-6: 4 cases to train on, 1 to watch it with, 1 held out" in shown
    assert run(["check", str(tmp_path / "synapse"), "--split", "5-5"]) == 2
    assert "Choose one of 18-12, 24-6, folds" in capsys.readouterr().err
    code, shown, _ = checked(tmp_path / "synapse", "--numbering", "transunet")
    assert code == 1
    assert "taken to be numbered as transunet, but the sizes of the organs are those of" in shown
    assert "--numbering compacted" in shown
    assert run(["check", str(tmp_path / "synapse"), "--numbering", "none"]) == 2
