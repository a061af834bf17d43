"""A small cohort as `medseg predict` leaves it, and the pages made of it."""

import numpy as np
import pytest

from medseg import task as tasks
from medseg.evaluation import evaluate
from medseg.inference.report import Report
from medseg.report import results, write
from tests.fake_results import NASTY, affine_of, bodies, entry_of, scan_of


@pytest.fixture(scope="session")
def task():
    return tasks.read("phantom")


@pytest.fixture(scope="session")
def cohort(tmp_path_factory, put, task):
    """A folder with scans, references, and predictions with their `report.json`.

    Of the predictions one is right, one is a little off, one is empty; one scan failed. The names
    of two hold what a browser might take for its own.
    """
    folder = tmp_path_factory.mktemp("Doe_Jane_1970")
    rng = np.random.default_rng(3)
    head = {
        "task": "phantom",
        "network": "toy",
        "hash": "5eed" * 16,
        "task_yaml": tasks.text(task),
        "plan_yaml": "patch: [8, 8, 8]\n",
    }
    report = Report(folder / "predictions" / "report.json", head)
    known = bodies()
    found = {"right": known, NASTY: bodies(2), "empty": np.zeros_like(known)}
    for name, labels in found.items():
        image = put(folder / "scans" / f"{name}.nii.gz", scan_of(known, rng), affine_of())
        put(folder / "labels" / f"{name}.nii.gz", known, affine_of())
        output = put(folder / "predictions" / f"{name}_seg.nii.gz", labels, affine_of())
        report.record(entry_of(name, image, output, labels, task))
    lost = folder / "scans" / "lost.nii.gz"
    failed = entry_of("<b>lost</b>", lost, folder / "predictions" / "lost_seg.nii.gz", None, task)
    report.record(failed)
    return folder


@pytest.fixture(scope="session")
def pages(cohort, task):
    """The folder of the cohort's pages, with references."""
    found = results.of_folder(cohort / "predictions")
    known = evaluate.references(task, cohort / "labels")
    return write.cohort(cohort / "pages", found, known=known).parent
