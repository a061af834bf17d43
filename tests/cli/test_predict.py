"""`medseg predict`, and every kind of bad input."""

import gzip
import json
import shutil

import nibabel
import numpy as np
import pytest
from slicerio import read_segmentation

from medseg import model_list
from medseg.__main__ import run

pytestmark = pytest.mark.usefixtures("home")


def _predict(*arguments):
    return run(["predict", *map(str, arguments)])


def _save(path, voxels, affine=None):
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def test_one_file_in_one_file_out_on_the_same_grid(scan, untrained, capsys):
    assert _predict(scan, "--model", untrained.folder) == 0
    result = scan.with_name("scan_seg.nii.gz")
    assert capsys.readouterr().out == f"{result}\n"
    before, after = nibabel.load(scan), nibabel.load(result)
    assert after.shape == before.shape
    assert np.array_equal(after.affine, before.affine)
    assert set(np.unique(after.dataobj)) <= {0, 1, 2}


def test_a_sheared_grid_is_reported_and_kept(scan, untrained, capsys):
    affine = nibabel.load(scan).affine
    affine[:3, 1] += 1e-3 * affine[:3, 0]
    sheared = _save(scan.with_name("sheared.nii.gz"), nibabel.load(scan).get_fdata(), affine)
    before = nibabel.load(sheared).affine
    assert _predict(sheared, "--model", untrained.folder) == 0
    assert "axes are not perpendicular" in capsys.readouterr().err
    assert np.array_equal(nibabel.load(scan.with_name("sheared_seg.nii.gz")).affine, before)


def test_brackets_in_a_path_are_no_markup(scan, untrained, capsys):
    odd = scan.with_name("[red]a.nii.gz")
    scan.rename(odd)
    assert _predict(odd, "--model", untrained.folder) == 0
    assert "[red]a_seg.nii.gz" in capsys.readouterr().out


def test_an_unforeseen_error_spares_the_other_scans(scan, untrained, monkeypatch, capsys):
    from medseg.inference import cohort_run

    shutil.copy(scan, scan.with_name("zcan.nii.gz"))
    calls = iter([RuntimeError("a fault\non the device"), None])
    original = cohort_run.predict_measured

    def once_failing(*arguments, **options):
        if (error := next(calls)) is not None:
            raise error
        return original(*arguments, **options)

    monkeypatch.setattr(cohort_run, "predict_measured", once_failing)
    assert _predict(scan.parent, "--model", untrained.folder) == 7
    assert "failed with RuntimeError a fault on the device" in capsys.readouterr().err
    assert scan.with_name("zcan_seg.nii.gz").exists()


def test_the_only_model_is_taken_and_named(scan, untrained, capsys):
    model_list.add(untrained)
    assert _predict(scan) == 0
    assert f"Model: {untrained.folder}" in capsys.readouterr().err.replace("\n", "")


def test_without_a_model_it_says_what_to_do(scan, capsys):
    assert _predict(scan) == 5
    assert "Train one with 'medseg train'" in capsys.readouterr().err


def test_several_models_are_listed(scan, untrained, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(untrained.folder, other)
    model_list.add(untrained)
    model_list.add(type(untrained)(other, untrained.task, untrained.plan))
    assert _predict(scan) == 5
    shown = capsys.readouterr().err
    assert f"--model {other}" in shown
    assert f"--model {untrained.folder}" in shown


def test_slicer_opens_the_segmentation(scan, untrained, tmp_path):
    target = tmp_path / "result.seg.nrrd"
    assert _predict(scan, "--model", untrained.folder, "-o", target) == 0
    names = [segment["name"] for segment in read_segmentation(str(target))["segments"]]
    assert names == ["Anterior hippocampus", "Posterior hippocampus"]


def test_a_cohort_goes_on_past_a_bad_case(scan, untrained, tmp_path, capsys):
    bad = scan.with_name("bad.nii.gz")
    bad.write_bytes(scan.read_bytes()[:2000])
    out = tmp_path / "out"
    assert _predict(scan.parent, "--model", untrained.folder, "-o", out) == 7
    assert sorted(path.name for path in out.iterdir()) == ["report.json", "scan_seg.nii.gz"]
    shown = capsys.readouterr().err
    assert "1 of 2 scans failed" in shown
    assert str(bad) in shown


def test_a_second_run_on_a_folder_does_not_segment_segmentations(scan, untrained):
    for _ in range(2):
        assert _predict(scan.parent, "--model", untrained.folder) == 0
    assert sorted(path.name for path in scan.parent.iterdir()) == ["scan.nii.gz", "scan_seg.nii.gz"]


def _truncated(scan):
    path = scan.with_name("truncated.nii.gz")
    path.write_bytes(scan.read_bytes()[:3000])
    return path


def _damaged(scan):
    path = scan.with_name("damaged.nii.gz")
    content = bytearray(scan.read_bytes())
    content[1000:1200] = bytes(200)
    path.write_bytes(content)
    return path


def _not_an_image(scan):
    path = scan.with_name("letter.nii.gz")
    path.write_bytes(gzip.compress(b"Dear colleague, the scan is attached." * 20))
    return path


def _of_unknown_kind(scan):
    path = scan.with_name("scan.jpg")
    path.write_bytes(b"JFIF")
    return path


def _voxels(change):
    def make(scan):
        voxels = nibabel.load(scan).get_fdata(dtype=np.float32)
        return _save(scan.with_name("changed.nii.gz"), change(voxels))

    return make


def _with(value):
    def change(voxels):
        voxels[3, 4, 5] = value
        return voxels

    return change


def _overflowing(scan):
    image = nibabel.Nifti1Image(np.full((6, 6, 6), 30000, np.int16), np.eye(4))
    path = scan.with_name("overflowing.nii")
    content = bytearray(image.to_bytes())
    content[112:116] = np.float32(3e38).tobytes()  # scl_slope
    content[116:120] = np.float32(0).tobytes()  # scl_inter
    path.write_bytes(content)
    return path


def _empty_folder(scan):
    folder = scan.parent / "empty"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda scan: scan.with_name("missing.nii.gz"), "there is no such file"),
        (_truncated, "cannot be read"),
        (_damaged, "cannot be read"),
        (_not_an_image, "cannot be read"),
        (_of_unknown_kind, "is not an image medseg can read"),
        (_voxels(lambda voxels: np.stack([voxels, voxels], axis=-1)), "has 2 channels"),
        (_voxels(_with(np.nan)), "1 voxels that are NaN or infinite"),
        (_voxels(_with(np.inf)), "NaN or infinite"),
        (_voxels(lambda voxels: np.full_like(voxels, 7)), "is constant"),
        (_voxels(lambda voxels: voxels[:, :, 0]), "has the shape (18, 20)"),
        (_overflowing, "NaN or infinite"),
        (_empty_folder, "holds no image"),
    ],
)
def test_bad_input_is_one_line_that_names_the_file(scan, untrained, tmp_path, capsys, make, what):
    bad, out = make(scan), tmp_path / "out"
    assert _predict(bad, "--model", untrained.folder, "-o", out) == 3
    captured = capsys.readouterr()
    line = captured.err.splitlines()[-1]
    assert line.startswith(f"medseg: {bad}: ")
    assert what in line
    assert captured.out == ""
    assert not out.exists() or [path.name for path in out.iterdir()] == ["report.json"]


def test_an_output_that_cannot_be_written_is_explained(scan, untrained, tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder is needed")
    assert _predict(scan, "--model", untrained.folder, "-o", blocked / "out") == 6
    assert "cannot be written" in capsys.readouterr().err


def test_an_altered_model_is_refused(scan, untrained, tmp_path, capsys):
    folder = tmp_path / "altered"
    shutil.copytree(untrained.folder, folder)
    weights = folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert _predict(scan, "--model", folder) == 5
    assert "was altered" in capsys.readouterr().err


def test_held_out_needs_a_place_for_its_results(scan, capsys):
    assert _predict("--held-out", scan.parent) == 2
    assert "-o" in capsys.readouterr().err


def test_options_of_speed_reach_the_report_and_a_second_run_does_what_differs(
    scan, untrained, tmp_path, capsys
):
    out = tmp_path / "out"
    told = []
    for options in ([], [], ["--tta"], ["--quick"], ["--model", untrained.folder]):
        capsys.readouterr()
        given = [scan, "--model", untrained.folder, "--precision", "float32", *options]
        assert _predict(*given, "-o", out, "--json-progress") == 0
        start = json.loads(capsys.readouterr().out.splitlines()[0])
        told.append((start["cases"], start["skipped"]))
    assert told == [(1, 0), (1, 1), (1, 0), (1, 0), (1, 0)]
    (case,) = json.loads((out / "report.json").read_text())["cases"]
    assert case["settings"]["precision"] == "float32"
    assert case["settings"]["overlap"] == 0.5
    assert case["settings"]["models"] == [untrained.hash, untrained.hash]
    assert case["model"] != untrained.hash


def test_quick_with_mirroring_is_refused_before_anything_is_read(scan, untrained, capsys):
    assert _predict(scan, "--model", untrained.folder, "--quick", "--tta") == 2
    assert "quick decides" in capsys.readouterr().err
