"""`medseg predict --format`, each file read by another program's reader."""

import json
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from slicerio import read_segmentation

from medseg import bundle as bundles
from medseg import export, formats, networks
from medseg.__main__ import run
from medseg.cli import result_files
from medseg.data.cases import Case
from medseg.inference.scans import Scan
from medseg.recipe import NetworkChoice
from medseg.segmentation import Segmentation

pytestmark = pytest.mark.usefixtures("home")

OPTIONS = {"features": 12, "depths": [1, 1, 1, 1], "window": 4}


@pytest.fixture(scope="module")
def coarse(hippocampus_task, make_plan, tmp_path_factory):
    """A hippocampus model whose weights are random, and whose voxels are large."""
    torch.manual_seed(0)
    choice = NetworkChoice(name="swin_unetr", options=OPTIONS)
    plan = make_plan(network=choice, patch=(16, 16, 16), spacing_mm=(16.0, 16.0, 16.0))
    network = networks.build("swin_unetr", in_channels=1, out_channels=3, **OPTIONS)
    folder = tmp_path_factory.mktemp("models") / "coarse"
    return bundles.write(folder, hippocampus_task, plan, network.state_dict()).folder


def _predict(*arguments):
    return run(["predict", *map(str, arguments)])


def test_slicer_s_formats_hold_what_the_nifti_holds(scan, untrained, tmp_path):
    out = tmp_path / "out"
    model = ("--model", untrained.folder)
    assert _predict(scan, *model, "-o", out, "--format", "nii.gz,seg.nrrd,mrb") == 0
    found = nibabel.load(out / "scan_seg.nii.gz")
    label_map = np.asarray(found.dataobj)
    assert label_map.any()
    alone = read_segmentation(str(out / "scan_seg.seg.nrrd"))
    with zipfile.ZipFile(out / "scan_seg.mrb") as scene:
        scene.extractall(tmp_path / "scene")
    data = tmp_path / "scene" / "medseg" / "Data"
    inside = read_segmentation(str(data / "segmentation.seg.nrrd"))
    for each in (alone, inside):
        assert np.array_equal(each["voxels"], label_map)
        lps = np.diag([-1, -1, 1, 1]) @ found.affine
        assert each["ijkToLPS"] == pytest.approx(lps, abs=1e-5)
        names = [segment["name"] for segment in each["segments"]]
        assert names == ["Anterior hippocampus", "Posterior hippocampus"]
    image, before = nibabel.load(data / "t1.nii.gz"), nibabel.load(scan)
    assert np.array_equal(np.asarray(image.dataobj), np.asarray(before.dataobj))
    assert np.array_equal(image.affine, before.affine)


def test_a_format_that_is_added_is_written_for_what_is_done(scan, untrained, tmp_path):
    arguments = (scan, "--model", untrained.folder, "-o", tmp_path / "out")
    assert _predict(*arguments) == 0
    assert _predict(*arguments, "--format", "nii.gz,ctbl") == 0
    assert (tmp_path / "out" / "scan_seg.ctbl").is_file()
    written = (tmp_path / "out" / "scan_seg.ctbl").stat().st_mtime_ns
    assert _predict(*arguments, "--format", "nii.gz,ctbl") == 0  # nothing is left to do
    assert (tmp_path / "out" / "scan_seg.ctbl").stat().st_mtime_ns == written
    (tmp_path / "out" / "scan_seg.ctbl").unlink()
    assert _predict(*arguments, "--format", "ctbl,nii.gz") == 0
    assert (tmp_path / "out" / "scan_seg.ctbl").is_file()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [Path(case["output"]).name for case in report["cases"]] == ["scan_seg.nii.gz"]


def test_the_ending_of_the_output_is_a_format(scan, untrained, tmp_path):
    assert _predict(scan, "--model", untrained.folder, "-o", tmp_path / "a.mrb") == 0
    assert zipfile.is_zipfile(tmp_path / "a.mrb")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--format", "dicom-seg"], "dicom-seg refers to a DICOM series, and there is none"),
        (["--format", "obj"], "there is no format 'obj'"),
        (["--format", "mrb", "-o", "a.nii.gz"], "a.nii.gz is named as nii.gz, and not as mrb"),
        (["-o", "a.txt"], "a.txt would be a folder, but is called as a file is"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_network_runs(
    scan, untrained, options, reason, capsys
):
    assert _predict(scan, "--model", untrained.folder, *options) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert reason in shown
    assert "Model:" not in shown


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["ct_organs/example_ct_dicom", "dicom/torchio_ct_17_slices"])
def test_a_ct_series_becomes_a_dicom_segmentation(name, real_data, coarse, tmp_path):
    series = real_data / "readers" / name
    out = tmp_path / "out"
    arguments = (series, "--model", coarse, "-o", out)
    assert _predict(*arguments, "--format", "nii.gz,dicom-seg") == 0
    label_map = nibabel.load(out / f"{series.name}_seg.nii.gz")
    file = pydicom.dcmread(out / f"{series.name}_seg.dcm")
    expected = np.asarray(label_map.dataobj)
    assert expected.any()
    assert np.array_equal(_rebuilt(file, label_map), expected)
    report = (out / "report.json").read_text()
    told = [file.get(field) for field in ("PatientName", "PatientID", "StudyInstanceUID")]
    assert not [value for value in told if value and str(value) in report]


def _rebuilt(file, label_map):
    """Put every frame of a DICOM segmentation where its position says, with pydicom alone."""
    rebuilt = np.zeros(label_map.shape, np.uint8)
    orientation = file.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    columns, rows = np.array(orientation.ImageOrientationPatient, float).reshape(2, 3)
    lps = np.diag([-1, -1, 1, 1]) @ label_map.affine
    directions = lps[:3, :2] / np.linalg.norm(lps[:3, :2], axis=0)
    assert np.allclose(directions, np.stack([columns, rows], axis=1), atol=1e-4)
    frames = file.pixel_array.reshape(-1, file.Rows, file.Columns)
    for frame, group in zip(frames, file.PerFrameFunctionalGroupsSequence, strict=True):
        first = [*map(float, group.PlanePositionSequence[0].ImagePositionPatient), 1]
        i, j, k, _ = np.linalg.solve(lps, first)
        assert (i, j, k) == pytest.approx((0, 0, round(k)), abs=1e-3)
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        rebuilt[:, :, round(k)][frame.T > 0] = number
    return rebuilt


def test_what_a_process_writes_that_runs_elsewhere_lands_in_the_same_place(
    scan, untrained, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    exporters = export.chosen("ctbl,nii.gz")
    jobs, leading = result_files.plan([Scan(Case("a", (scan,)))], Path("out"), exporters)
    assert leading.FORMAT == "nii.gz"
    assert jobs[0].beside == (Path("out/a_seg.ctbl"),)
    write = result_files.writer(jobs, leading, exporters, formats.ANY)
    grid = formats.read(scan).grid
    found = Segmentation(np.zeros(grid.shape, np.uint8), grid, untrained.task)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write(tmp_path / "out/a_seg.nii.gz", found)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("a_seg.ctbl", "a_seg.nii.gz")
    ]
