"""`medseg report`."""

from dataclasses import replace

import numpy as np
import pytest

from medseg.__main__ import run
from medseg.inference.report import NAME, Report, read
from tests.fake_results import NASTY, SHAPE, affine_of, bodies, entry_of


@pytest.fixture
def result(put, tmp_path, rng):
    """A label map of the hippocampus task, its scan and its reference."""
    labels = np.minimum(bodies(), 2)
    put(tmp_path / "scan.nii.gz", rng.normal(100, 9, SHAPE).astype(np.float32), affine_of())
    put(tmp_path / "known.nii.gz", np.minimum(bodies(1), 2), affine_of())
    return put(tmp_path / "scan_seg.nii.gz", labels, affine_of())


def report(*arguments):
    return run(["report", *map(str, arguments)])


def test_one_label_map_becomes_a_page_beside_it(result, capsys):
    scan = result.with_name("scan.nii.gz")
    known = result.with_name("known.nii.gz")
    assert report(result, "--scan", scan, "--task", "hippocampus", "--reference", known) == 0
    page = result.with_name("scan_seg.html")
    assert capsys.readouterr().out == f"{page}\n"
    text = page.read_text(encoding="utf-8")
    assert "Comparison with the reference" in text
    assert str(result.parent) not in text


def test_a_model_gives_the_task_and_its_provenance(result, untrained, tmp_path):
    page = tmp_path / "page.html"
    scan = result.with_name("scan.nii.gz")
    assert report(result, "--scan", scan, "--model", untrained.folder, "-o", page) == 0
    assert untrained.hash in page.read_text(encoding="utf-8")


def test_a_page_is_not_written_over_a_scan_or_a_folder(result, tmp_path, capsys):
    scan = result.with_name("scan.nii.gz")
    before = scan.read_bytes()
    given = (result, "--scan", scan, "--task", "hippocampus")
    assert report(*given, "-o", scan) == 2
    assert "Name a file that ends in .html" in " ".join(capsys.readouterr().err.split())
    assert scan.read_bytes() == before
    assert report(*given, "-o", tmp_path) == 2


def test_a_label_map_without_its_scan_is_refused(result, capsys):
    assert report(result, "--task", "hippocampus") == 2
    assert "--scan FILE" in capsys.readouterr().err


def test_a_folder_becomes_a_folder_of_pages(put, task_folder, tmp_path, capsys):
    assert report(task_folder) == 0
    assert capsys.readouterr().out == f"{task_folder / 'report' / 'index.html'}\n"
    assert (task_folder / "report" / f"{NASTY}.html").is_file()
    labels = put(tmp_path / "labels" / f"{NASTY}.nii.gz", bodies(), affine_of()).parent
    assert report(task_folder, "--reference", labels, "-o", tmp_path / "pages") == 0
    assert "Mean Dice" in (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")


@pytest.fixture
def task_folder(put, phantom_task, tmp_path, rng):
    """What predict leaves of a phantom whose name a browser might run."""
    voxels = rng.normal(100, 9, (*SHAPE, 2)).astype(np.float32)
    image = put(tmp_path / "scans" / f"{NASTY}.nii.gz", voxels, affine_of())
    output = put(tmp_path / "out" / f"{NASTY}_seg.nii.gz", bodies(2), affine_of())
    document = Report(output.parent / NAME, {"task": "phantom"})
    document.record(entry_of(NASTY, image, output, bodies(2), phantom_task))
    return output.parent


def test_options_that_do_not_fit_a_folder_are_refused(task_folder, result, capsys):
    assert report(task_folder, "--model", "any") == 2
    assert "of use for one label map alone" in capsys.readouterr().err
    assert report(task_folder, "-o", task_folder / "a.html") == 2
    document = read(task_folder / NAME)
    twice = replace(document.entries[0], input=[str(result)], output=str(result))
    Report(task_folder / NAME, document.model).record(twice)
    assert report(task_folder, "--reference", result) == 2
    assert "is one file" in capsys.readouterr().err
