"""`medseg import`."""

import nibabel
import nrrd
import numpy as np
import pytest

from medseg.__main__ import run

SHAPE = (6, 5, 4)
AFFINE = np.array([[0, -0.5, 0, 10.0], [1.5, 0, 0, -20.0], [0, 0, -2.5, 33.25], [0, 0, 0, 1.0]])


@pytest.fixture
def scan(tmp_path, put):
    return put(tmp_path / "scans" / "p7.nii.gz", np.zeros(SHAPE, np.int16), AFFINE)


def corrected(path, voxels, affine, *names):
    """Write a segmentation as 3D Slicer does, with segments numbered anew."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    header = {"space": "left-posterior-superior", "kinds": ["domain"] * 3}
    header |= {"space directions": lps[:3, :3].T, "space origin": lps[:3, 3]}
    for number, name in enumerate(names):
        header |= {f"Segment{number}_ID": f"Segment_{number}", f"Segment{number}_Name": name}
        header |= {f"Segment{number}_LabelValue": str(number + 1), f"Segment{number}_Layer": "0"}
    nrrd.write(str(path), voxels, header)
    return path


def test_a_cropped_correction_comes_back_on_the_scan_by_its_names(scan, tmp_path, rng, capsys):
    voxels = rng.integers(0, 3, (3, 4, 2)).astype(np.uint8)
    affine = AFFINE.copy()
    affine[:3, 3] = (AFFINE @ (2, 1, 1, 1))[:3]
    names = ("Posterior hippocampus", "Anterior hippocampus")
    file = corrected(tmp_path / "p7_seg.seg.nrrd", voxels, affine, *names)
    out = tmp_path / "labels"
    assert (
        run(["import", str(file), "--task", "hippocampus", "--image", str(scan), "-o", str(out)])
        == 0
    )
    expected = np.zeros(SHAPE, np.uint8)
    expected[2:5, 1:5, 1:3] = np.array([0, 2, 1])[voxels]
    found = nibabel.load(out / "p7.nii.gz")
    assert np.array_equal(np.asarray(found.dataobj), expected)
    assert np.array_equal(found.affine, nibabel.load(scan).affine)
    captured = capsys.readouterr()
    assert captured.out == f"{out / 'p7.nii.gz'}\n"
    assert (
        f"Posterior hippocampus: {(expected == 2).sum() * 0.5 * 1.5 * 2.5 / 1000:.4g} mL"
        in captured.err
    )
    assert "nearest" not in captured.err


def test_without_a_scan_it_keeps_its_own_grid_and_name(tmp_path):
    file = corrected(tmp_path / "p7_seg.seg.nrrd", np.ones(SHAPE, np.uint8), AFFINE, "anterior")
    assert run(["import", str(file), "--task", "hippocampus", "-o", str(tmp_path / "out")]) == 0
    found = nibabel.load(tmp_path / "out" / "p7.nii.gz")
    assert found.affine == pytest.approx(AFFINE, abs=1e-5)


def test_voxels_of_another_size_take_the_nearest_label_and_that_is_said(scan, tmp_path, capsys):
    finer = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    file = corrected(tmp_path / "a.seg.nrrd", np.ones((10, 8, 6), np.uint8), finer, "anterior")
    arguments = ["--task", "hippocampus", "--image", str(scan), "-o", str(tmp_path / "out")]
    assert run(["import", str(file), *arguments]) == 0
    assert "each takes the nearest label" in capsys.readouterr().err
    assert np.asarray(nibabel.load(tmp_path / "out" / "p7.nii.gz").dataobj)[:5, :4, :3].all()


def test_labels_outside_the_scan_are_refused(scan, tmp_path, capsys):
    elsewhere = AFFINE.copy()
    elsewhere[2, 3] += 300
    file = corrected(tmp_path / "a.seg.nrrd", np.ones(SHAPE, np.uint8), elsewhere, "anterior")
    arguments = ["--task", "hippocampus", "--image", str(scan), "-o", str(tmp_path / "out")]
    assert run(["import", str(file), *arguments]) == 4
    assert "120 labelled voxels outside the scan" in capsys.readouterr().err


def test_a_segment_that_is_no_label_is_named_with_the_choices(tmp_path, capsys):
    file = corrected(tmp_path / "a.seg.nrrd", np.ones(SHAPE, np.uint8), AFFINE, "Cyst")
    assert run(["import", str(file), "--task", "hippocampus", "-o", str(tmp_path / "out")]) == 4
    shown = " ".join(capsys.readouterr().err.split())
    assert "no label of task hippocampus: Cyst" in shown
    assert "Anterior hippocampus, Posterior hippocampus" in shown


def test_neither_the_scan_nor_the_correction_is_written_over(scan, tmp_path, put, capsys):
    file = corrected(tmp_path / "a.seg.nrrd", np.ones(SHAPE, np.uint8), AFFINE, "anterior")
    before = scan.read_bytes()
    given = ["import", str(file), "--task", "hippocampus", "-o", str(scan.parent)]
    assert run([*given, "--image", str(scan)]) == 2
    assert "p7.nii.gz: is read and would be written over itself" in capsys.readouterr().err
    assert scan.read_bytes() == before
    drawn = put(tmp_path / "labels" / "p7.nii.gz", np.ones(SHAPE, np.uint8), AFFINE)
    assert run(["import", str(drawn), "--task", "hippocampus", "-o", str(drawn.parent)]) == 2


def test_a_result_is_no_folder(tmp_path, capsys):
    file = corrected(tmp_path / "a.seg.nrrd", np.ones(SHAPE, np.uint8), AFFINE, "anterior")
    assert run(["import", str(file), "--task", "hippocampus", "-o", "a.nii.gz"]) == 2
    assert "would be a folder" in capsys.readouterr().err


SLICER = """
name: chest
title: Chest
layout: folder
channels: {ct: ct}
labels:
  left_lung: {value: 1, colour: "#dd8265", code: SCT^44029006^Left Lung}
  right_lung: {value: 2, colour: "#80ae80", code: SCT^3341006^Right Lung}
  ribs: {value: 3, colour: "#f1d691", code: SCT^113197003^Rib}
  cervical: {title: Cervical vertebral column, value: 4, colour: "#ffffce", code: SCT^122494005^C}
  thoracic: {title: Thoracic vertebral column, value: 5, colour: "#fef6ce", code: SCT^122495006^T}
  lumbar: {title: Lumbar vertebral column, value: 6, colour: "#eef6ce", code: SCT^122496007^L}
  tissue: {value: 7, colour: "#90ee90", code: SCT^85756007^Tissue}
"""


@pytest.mark.real_data
def test_what_slicer_wrote_becomes_a_label_map_on_its_scan(real_data, tmp_path, capsys):
    folder = real_data / "readers/nrrd/slicer"
    (tmp_path / "chest.yaml").write_text(SLICER)
    arguments = ["--task", str(tmp_path / "chest.yaml"), "-o", str(tmp_path)]
    given = ["--image", str(folder / "CTChest4.nrrd"), *arguments]
    assert run(["import", str(folder / "Segmentation.seg.nrrd"), *given]) == 0
    layers, _ = nrrd.read(str(folder / "Segmentation.seg.nrrd"))
    expected = np.array([0, 3, 4, 5, 6, 2, 1, 7])[layers]  # as its header numbers them
    found = nibabel.load(tmp_path / "CTChest4.nii.gz")
    assert np.array_equal(np.asarray(found.dataobj), expected)
    assert run(["import", str(folder / "SegmentationOverlapping.seg.nrrd"), *given]) == 4
    assert "overlapping sphere" in " ".join(capsys.readouterr().err.split())


@pytest.mark.real_data
def test_a_layer_of_its_own_that_is_a_label_is_read(real_data, tmp_path, capsys):
    """Slicer's overlapping sphere lies within what others hold, so that it makes no label map."""
    folder = real_data / "readers/nrrd/slicer"
    sphere = '  sphere: {title: Overlapping sphere, value: 8, colour: "#112233", code: SCT^1^S}\n'
    (tmp_path / "chest.yaml").write_text(SLICER + sphere)
    arguments = ["--task", str(tmp_path / "chest.yaml"), "-o", str(tmp_path)]
    assert run(["import", str(folder / "SegmentationOverlapping.seg.nrrd"), *arguments]) == 4
    assert "Overlapping sphere overlaps another label" in " ".join(capsys.readouterr().err.split())
