"""A results folder of nnU-Net in the place of a model: what works with it, and what does not."""

import gc
import json
import shutil
import weakref

import nibabel
import numpy as np
import pytest

import medseg
from medseg import model_list, nnunet_bundle
from medseg.__main__ import run
from medseg.errors import ModelError
from medseg.inference.options import Options
from medseg.model import Model
from medseg.nnunet_bundle import NnunetBundle

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def copy(results_folder, tmp_path):
    """A results folder that a test may change."""
    return shutil.copytree(results_folder, tmp_path / "copy" / results_folder.name)


def test_it_is_a_model(results_folder):
    found = model_list.choose(results_folder)
    assert isinstance(found, Model)
    assert [path.parent.name for path in found.checkpoints] == ["fold_0", "fold_1"]
    assert found.mirror_axes == (0, 1, 2)
    one = model_list.choose(results_folder / "fold_1")
    assert [path.parent.name for path in one.checkpoints] == ["fold_1"]
    assert found.hash != one.hash


def test_a_cohort_is_segmented_judged_and_reported(results_folder, scan, tmp_path):
    shutil.copy(scan, scan.with_name("b.nii.gz"))
    out = tmp_path / "out"
    given = ["predict", str(scan.parent), "--model", str(results_folder), "-o", str(out)]
    assert run([*given, "--uncertainty"]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["model"]["task"] == "dataset998_toy"
    assert report["model"]["network"] == "PlainConvUNet"
    assert report["model"]["hash"] == nnunet_bundle.read(results_folder).hash
    assert {case["case"] for case in report["cases"]} == {"b", "scan"}
    for case in report["cases"]:
        assert case["quality"]["verdict"] in {"pass", "check"}
        assert set(case["volumes_ml"]) == {"dark_part", "bright"}
    assert (out / "entropy" / "b_entropy.nii.gz").is_file()
    written = nibabel.load(out / "b_seg.nii.gz")
    np.testing.assert_allclose(written.affine, nibabel.load(scan).affine)
    segmentation = medseg.predict(scan, results_folder, device="cpu")
    np.testing.assert_array_equal(segmentation.label_map, np.asarray(written.dataobj))


def test_it_is_neither_exported_nor_verified(results_folder, tmp_path, capsys):
    for verb in (["export", results_folder, tmp_path / "a.zip"], ["verify", results_folder]):
        assert run(["models", *map(str, verb)]) == 5
        assert "Segment with it: medseg predict SCAN --model" in capsys.readouterr().err


def test_the_folds_that_are_used_are_told(copy, scan, tmp_path, capsys):
    shutil.copytree(copy / "fold_1", copy / "fold_2")
    final = copy / "fold_1" / "checkpoint_final.pth"
    final.rename(final.with_name("checkpoint_best.pth"))
    found = nnunet_bundle.read(copy)
    assert [path.parent.name for path in found.checkpoints] == ["fold_0", "fold_2"]
    given = ["predict", str(scan), "--model", str(copy), "-o", str(tmp_path / "a.nii.gz")]
    assert run(given) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "uses checkpoint_final.pth of fold_0, fold_2" in told
    assert "leaves out fold_1: it has no checkpoint_final.pth, but checkpoint_best.pth" in told
    with pytest.warns(UserWarning, match=r"fold_1: uses checkpoint_best\.pth, as there is no"):
        medseg.Predictor(copy / "fold_1", device="cpu")
    with pytest.raises(ModelError, match=r"holds no .*: fold_0 has checkpoint_final\.pth; fold_1"):
        nnunet_bundle.read(copy / "fold_4")


def test_the_networks_of_folds_are_read_one_at_a_time(results_folder, scan, monkeypatch):
    build, held = NnunetBundle.build_network, []

    def watched(bundle):
        assert not any(network() is not None for network in held), "two networks at once"
        network = build(bundle)
        held.append(weakref.ref(network))
        return network

    monkeypatch.setattr(NnunetBundle, "build_network", watched)
    gc.disable()  # what is let go of must be gone at once
    try:
        medseg.predict(scan, results_folder, device="cpu", options=Options("float32"))
    finally:
        gc.enable()
    assert len(held) == 2
    with pytest.raises(ValueError, match="build those of the members"):
        build(nnunet_bundle.read(results_folder))


@pytest.mark.parametrize("name", ["plans.json", "dataset.json"])
def test_a_damaged_description_is_refused(copy, name):
    (copy / name).write_text("[")
    with pytest.raises(ModelError, match="is missing or is not JSON"):
        model_list.choose(copy)


def test_a_folder_without_checkpoints_is_refused(copy):
    for fold in (0, 1):
        shutil.rmtree(copy / f"fold_{fold}")
    with pytest.raises(ModelError, match=r"holds no checkpoint_final\.pth or checkpoint_best\.pth"):
        model_list.choose(copy)
