"""A cohort from the command line: resume, kill, report, progress, channels, strictness."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from medseg import bundle as bundles
from medseg import formats, networks
from medseg.__main__ import run
from medseg.cli.channel_options import parsed, rewritten
from medseg.data.description import describe_labels, describe_scan, gathered
from medseg.errors import UsageError

pytestmark = pytest.mark.usefixtures("home")


def _predict(*arguments):
    return run(["predict", *map(str, arguments)])


def _report(out):
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


@pytest.fixture
def scans(scan):
    """A folder with three scans."""
    for name in ("b", "c"):
        shutil.copy(scan, scan.with_name(f"{name}.nii.gz"))
    return scan.rename(scan.with_name("a.nii.gz")).parent


def test_the_report_holds_what_was_found_and_no_name(scans, untrained, tmp_path):
    image = nibabel.load(scans / "a.nii.gz")
    image.header["descrip"] = b"DOE^JANE"
    image.to_filename(scans / "b.nii.gz")
    (scans / "d.nii.gz").write_bytes(b"no image")
    out = tmp_path / "out"
    assert _predict(scans, "--model", untrained.folder, "-o", out) == 7
    report = _report(out)
    assert "DOE" not in json.dumps(report)
    assert report["model"]["hash"] == untrained.hash
    entries = {entry["case"]: entry for entry in report["cases"]}
    done = entries["b"]
    assert done["input"] == [str(scans / "b.nii.gz")]
    assert done["output"] == str(out / "b_seg.nii.gz")
    labels = np.asarray(nibabel.load(out / "b_seg.nii.gz").dataobj)
    for value, name in ((1, "anterior"), (2, "posterior")):  # voxels of 1 mm
        volume_ml = done["volumes_ml"][name]
        assert volume_ml == pytest.approx((labels == value).sum() / 1000)
        assert done["quality"]["labels"][name]["volume_ml"] == volume_ml
    assert done["label_values"] == {"anterior": 1, "posterior": 2}
    assert done["seconds"] > 0
    assert done["peak_memory_mb"]["host"] > 50
    assert done["quality"]["verdict"] in {"pass", "check", "fail"}
    assert entries["d"]["status"] == "failed"
    assert "cannot be read" in entries["d"]["error"]


@pytest.mark.slow
def test_a_second_run_does_what_is_missing_or_changed(scans, untrained, tmp_path, capsys):
    out = tmp_path / "out"
    command = (scans, "--model", untrained.folder, "-o", out)
    assert _predict(*command) == 0
    (out / "a_seg.nii.gz").unlink()
    image = nibabel.load(scans / "b.nii.gz")
    nibabel.save(nibabel.Nifti1Image(image.get_fdata() + 1, image.affine), scans / "b.nii.gz")
    before = (out / "c_seg.nii.gz").stat().st_mtime_ns
    capsys.readouterr()
    assert _predict(*command) == 0
    shown = capsys.readouterr()
    assert shown.out.split() == [str(out / "a_seg.nii.gz"), str(out / "b_seg.nii.gz")]
    assert "1 of 3 are done already" in shown.err
    assert (out / "c_seg.nii.gz").stat().st_mtime_ns == before
    assert _predict(*command, "--overwrite") == 0
    assert len(capsys.readouterr().out.split()) == 3


def test_progress_is_a_json_document_per_line(scans, untrained, tmp_path, capsys):
    (scans / "c.nii.gz").write_bytes(b"no image")
    command = (scans, "--model", untrained.folder, "-o", tmp_path / "out", "--json-progress")
    assert _predict(*command) == 7
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    of_one = ["reading", "segmenting", "writing", "done"]
    steps = {
        case: [line["step"] for line in lines if line.get("case") == case] for case in "abc"
    }  # those of neighbours overlap
    assert steps == {"a": of_one, "b": of_one, "c": ["reading", "failed"]}
    assert lines[0] == {"step": "start", "cases": 3, "skipped": 0}
    assert next(line for line in lines if line["step"] == "done")["seconds_left"] > 0
    assert lines[-1]["seconds_left"] == 0


@pytest.mark.slow
def test_a_killed_run_leaves_whole_files_and_is_continued(scans, untrained, tmp_path):
    for number in range(9):
        shutil.copy(scans / "a.nii.gz", scans / f"z{number}.nii.gz")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "medseg", "predict", scans, "--model", untrained.folder]
    process = subprocess.Popen(
        [*map(str, command), "-o", str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while len(list(out.glob("*_seg.nii.gz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    for path in out.glob("[!.]*.nii.gz"):
        assert np.asarray(nibabel.load(path).dataobj).max() <= 2
    entries = [entry for entry in _report(out)["cases"] if entry["status"] == "done"]
    kept = {entry["output"]: Path(entry["output"]).stat().st_mtime_ns for entry in entries}
    assert 0 < len(kept) < 12
    (out / ".0123abcd.partial-z8_seg.nii.gz").write_bytes(b"half")
    assert _predict(scans, "--model", untrained.folder, "-o", out) == 0
    assert all(Path(path).stat().st_mtime_ns == before for path, before in kept.items())
    assert len([path for path in out.iterdir() if path.name.endswith("_seg.nii.gz")]) == 12
    assert len(_report(out)["cases"]) == 12


def test_the_entropy_lies_on_the_scan_s_grid(scan, untrained, tmp_path):
    out = tmp_path / "out"
    assert _predict(scan, "--model", untrained.folder, "-o", out, "--uncertainty") == 0
    entropy, before = nibabel.load(out / "entropy/scan_entropy.nii.gz"), nibabel.load(scan)
    assert np.array_equal(entropy.affine, before.affine)
    values = np.asarray(entropy.dataobj)
    assert values.shape == before.shape
    assert 0 <= values.min() < values.max() <= 1


@pytest.fixture
def experienced(scan, untrained, hippocampus_task, tmp_path):
    """The untrained model, as if it had been trained on `scan`."""
    volume = formats.read(scan)
    labels = np.zeros(volume.grid.shape, np.uint8)
    labels[5:9, 5:9, 5:9] = 1
    seen = gathered(
        [describe_scan(volume, hippocampus_task)],
        [describe_labels(volume, labels, hippocampus_task)],
    )
    weights = untrained.build_network().state_dict()
    return bundles.write(
        tmp_path / "experienced", hippocampus_task, untrained.plan, weights, experience=seen
    )


def test_a_strange_scan_is_warned_of_and_refused_if_strict(
    scan, experienced, untrained, tmp_path, capsys
):
    image = nibabel.load(scan)
    affine = image.affine @ np.diag([3.0, 1, 1, 1])
    strange = scan.with_name("strange.nii.gz")
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(dtype=np.float32), affine), strange)
    out = tmp_path / "out"
    assert _predict(strange, "--model", experienced.folder, "-o", out) == 0
    assert "voxels are 3.00 mm from left to right" in capsys.readouterr().err
    (entry,) = _report(out)["cases"]
    assert any("3.00 mm" in warning for warning in entry["warnings"])
    assert entry["quality"]["verdict"] != "pass"
    assert _predict(strange, "--model", experienced.folder, "--strict") == 3
    assert "is not what the model was trained for" in capsys.readouterr().err
    assert _predict(scan, "--model", experienced.folder, "--strict") == 0
    assert "compares nothing" not in capsys.readouterr().err
    assert _predict(strange, "--model", untrained.folder, "--strict") == 0
    assert "--strict compares nothing" in capsys.readouterr().err


@pytest.fixture
def two_channels(phantom_task, make_plan, tmp_path):
    """A model with two channels, `first` and `second`."""
    options = {"features": 12, "depths": [1, 1, 1, 1], "window": 4}
    network = networks.build("swin_unetr", in_channels=2, out_channels=3, **options)
    plan = make_plan(network={"name": "swin_unetr", "options": options}, patch=(16, 16, 16))
    return bundles.write(tmp_path / "two", phantom_task, plan, network.state_dict())


def test_channels_are_options_of_their_own(scan, two_channels, tmp_path, capsys):
    other = shutil.copy(scan, scan.with_name("other.nii.gz"))
    model = ("--model", two_channels.folder, "-o", tmp_path / "out")
    assert _predict("--second", other, f"--first={scan}", *model) == 0
    (entry,) = _report(tmp_path / "out")["cases"]
    assert entry["input"] == [str(scan), str(other)]
    assert _predict("--channel", f"first={scan}", "--channel", f"second={other}", *model) == 0
    capsys.readouterr()
    assert _predict("--first", scan, "--third", other, *model) == 2
    assert "has no channel 'third'; it has first, second" in capsys.readouterr().err
    assert _predict("--first", scan, *model) == 2
    assert "second was not given" in capsys.readouterr().err
    assert _predict(scan, "--first", scan, *model) == 2
    assert _predict("--first", scan, "--modle", "x") == 2
    assert "--modle" in capsys.readouterr().err


def test_unknown_options_are_channels_and_slips_are_not():
    known = {"--model", "--output", "-o"}
    given = ["--t1", "a.nii", "--model", "m", "--t2=b.mha", "--modell", "c.nii", "--colour", "red"]
    assert rewritten([*given, "-o", "d", "--last"], known) == [
        *("--channel", "t1=a.nii", "--model", "m", "--channel", "t2=b.mha"),
        *("--modell", "c.nii", "--colour", "red", "-o", "d", "--last"),
    ]
    assert parsed(["t1=a=b"])["t1"].name == "a=b"
    for wrong in (["t1"], ["=a"], ["t1="], ["t1=a", "t1=b"]):
        with pytest.raises(UsageError, match="Name every channel once"):
            parsed(wrong)


def test_one_volume_of_several_is_segmented(scan, untrained, tmp_path, capsys):
    voxels = nibabel.load(scan).get_fdata(dtype=np.float32)
    film = scan.with_name("film.nii.gz")
    both = np.stack([voxels[::-1], voxels], axis=-1)
    nibabel.save(nibabel.Nifti1Image(both, nibabel.load(scan).affine), film)
    model = ("--model", untrained.folder, "-o", tmp_path)
    assert _predict(film, "--volume", "2", *model) == 0
    assert _predict(scan, *model) == 0
    results = [
        np.asarray(nibabel.load(tmp_path / f"{n}_seg.nii.gz").dataobj) for n in ("film", "scan")
    ]
    assert np.array_equal(*results)
    assert _predict(film, "--volume", "two", *model) == 2
    assert _predict(film, *model) == 3
    assert "--volume chooses one" in capsys.readouterr().err


FORMATS = ("scan.nii", "scan.img", "analyze.img", "scan.mgz", "scan.nrrd", "scan.nhdr", "scan.mha")


@pytest.mark.parametrize("name", [*FORMATS, "scan.mhd"])
def test_every_format_is_answered_on_its_own_grid(name, scan, untrained, tmp_path):
    image, path = nibabel.load(scan), tmp_path / name
    kinds = {
        "scan.img": nibabel.Nifti1Pair,
        "analyze.img": nibabel.AnalyzeImage,
        "scan.mgz": nibabel.MGHImage,
    }
    voxels = image.get_fdata(dtype=np.float32)
    if name.endswith((".nii", ".img", ".mgz")):
        affine = np.diag([-1.0, 1, 1, 1]) if name == "analyze.img" else image.affine
        kinds.get(name, nibabel.Nifti1Image)(voxels, affine).to_filename(path)
        expected = nibabel.load(path).affine
    else:
        SimpleITK.WriteImage(SimpleITK.ReadImage(str(scan)), str(path))
        expected = image.affine
    assert _predict(path, "--model", untrained.folder, "-o", tmp_path / "out") == 0
    found = nibabel.load(tmp_path / "out" / f"{path.name.split('.')[0]}_seg.nii.gz")
    assert found.shape == image.shape
    assert found.affine == pytest.approx(expected, abs=1e-4)
    warned = "which side is left" in str(_report(tmp_path / "out")["cases"][0]["warnings"])
    assert warned == (name == "analyze.img")


@pytest.mark.real_data
@pytest.mark.parametrize("zipped", [False, True])
def test_a_dicom_series_is_answered_where_it_lies(zipped, untrained, real_data, tmp_path):
    series = real_data / "readers/dicom_seg/dcmqi/24x38x3/image"
    given = series
    if zipped:
        given = Path(shutil.make_archive(str(tmp_path / "image"), "zip", series))
    assert _predict(given, "--model", untrained.folder, "-o", tmp_path / "out") == 0
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(series))
    expected = SimpleITK.ReadImage(names)
    found = SimpleITK.ReadImage(str(tmp_path / "out/image_seg.nii.gz"))
    assert found.GetSize() == expected.GetSize()
    last = [size - 1 for size in found.GetSize()]
    for index in ([0, 0, 0], last):
        place = found.TransformIndexToPhysicalPoint(index)
        assert place == pytest.approx(expected.TransformIndexToPhysicalPoint(index), abs=1e-3)


def test_the_plan_is_shown_and_nothing_is_segmented(scans, untrained, tmp_path, capsys):
    (scans / "c.nii.gz").write_bytes(b"no image")
    out = tmp_path / "out"
    assert _predict(scans, "--model", untrained.folder, "-o", out, "--plan") == 0
    shown = capsys.readouterr().out
    assert "18x20x17" in shown
    assert "16x16x16" in shown
    assert "cannot be read" in shown
    assert not out.exists()


def test_a_scan_that_cannot_fit_is_refused_before_it_is_read(scans, untrained, tmp_path, capsys):
    command = (scans / "a.nii.gz", "--model", untrained.folder, "-o", tmp_path / "out")
    assert _predict(*command, "--max-memory", "1M") == 3
    assert "(18x20x17 voxels) needs" in capsys.readouterr().err
    assert _predict(*command, "--max-memory", "64G") == 0
    assert _predict(*command, "--max-memory", "some") == 2
