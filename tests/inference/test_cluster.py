import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from medseg import export, formats
from medseg.data.cases import Case
from medseg.errors import UsageError
from medseg.inference import cluster, predict
from medseg.inference.cohort import Job
from medseg.inference.cohort_run import Settings
from medseg.inference.options import Options
from medseg.inference.report import Report
from medseg.inference.scans import Scan


class Ear:
    """Remembers which cases ended, and how."""

    def __init__(self):
        self.done, self.failed = [], []

    def on_start(self, total, skipped):
        self.total, self.skipped = total, skipped

    def on_step(self, job, step):
        """No step of another process is told."""

    def on_remark(self, text):
        """Nor a remark."""

    def on_done(self, job, entry, seconds_left):  # noqa: ARG002
        self.done.append(job.case.name)

    def on_failure(self, failure, seconds_left):  # noqa: ARG002
        self.failed.append(failure.job.case.name)


@pytest.fixture
def jobs(scan, tmp_path):
    """Five scans, one of them damaged."""
    paths = [shutil.copy(scan, scan.with_name(f"{name}.nii.gz")) for name in "abcde"]
    paths[4].write_bytes(b"no image")
    return [
        Job(Scan(Case(path.name[0], (path,))), tmp_path / f"out/{path.name[0]}_seg.nii.gz")
        for path in paths
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray leaves sockets to the end of the program
def test_a_case_whose_process_is_killed_is_done_by_another(jobs, untrained, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    started = ray.init
    monkeypatch.setattr(ray, "init", lambda **given: started(**given, num_cpus=2))
    struck = str(tmp_path / "struck")

    def write(path, segmentation):
        if path.name.startswith("b") and not os.path.exists(struck):  # noqa: PTH110
            with open(struck, "w") as file:  # noqa: PTH123 - pickled with what it names
                file.write(str(os.getpid()))
            path.parent.mkdir(exist_ok=True)
            path.with_name(f".0123abcd.partial-{path.name}").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        export.write(path, segmentation)

    report, ear = Report(tmp_path / "out/report.json", {}), Ear()
    predictor = predict.load(untrained, torch.device("cpu"), Options("float32"))
    given = (predictor, Settings(), report, ear)
    outcome = cluster.run(jobs, *given, write=write, address="local", device="cpu")
    assert int((tmp_path / "struck").read_text()) != os.getpid()
    assert (outcome.done, outcome.skipped) == (4, 0)
    assert sorted(ear.done) == ["a", "b", "c", "d"]
    assert ear.failed == ["e"]
    assert "cannot be read" in str(outcome.failures[0].error)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ["report.json", *(f"{name}_seg.nii.gz" for name in "abcd")]
    )
    expected = predict.predict(predictor, formats.read(jobs[0].image)).label_map
    for job in jobs[:4]:
        assert np.array_equal(formats.read(job.output).voxels[0], expected)
    again = Report(tmp_path / "out/report.json", {})
    assert [entry["status"] for entry in again.entries.values()].count("done") == 4
    assert len(again.entries) == 5


def test_a_cluster_that_is_not_there_and_a_missing_ray_are_told(jobs, untrained, monkeypatch):
    ray = pytest.importorskip("ray")

    def init(**_):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(ray, "init", init)
    predictor = predict.load(untrained, torch.device("cpu"))
    given = (jobs, predictor, Settings(), Report(None, {}), Ear())
    with pytest.raises(UsageError, match="no Ray cluster at far:6379: no route to host"):
        cluster.run(*given, write=export.write, address="far:6379")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install medseg\[ray\]"):
        cluster.run(*given, write=export.write, address="local")


def test_a_process_that_runs_elsewhere_finds_the_same_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = Case("a", (Path("a_t1.nii"), Path("a_t2.nii")), label=Path("a_seg.nii"), patient="p")
    job = cluster.from_anywhere(Job(Scan(case), Path("out/a.nii.gz")))
    assert job.output == tmp_path / "out" / "a.nii.gz"
    assert job.case.images == (tmp_path / "a_t1.nii", tmp_path / "a_t2.nii")
    assert job.case.label == tmp_path / "a_seg.nii"
    assert (job.case.name, job.case.patient) == ("a", "p")
