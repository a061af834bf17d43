import os
import pickle
import shutil
import signal
import sys

import numpy as np
import pytest
import torch

from medseg import bundle as bundles
from medseg import export, formats, nnunet_bundle
from medseg.data.cases import Case
from medseg.errors import ModelError, UsageError
from medseg.inference import cluster, predict
from medseg.inference.cohort import Job, Settings
from medseg.inference.options import Options
from medseg.inference.report import Report
from medseg.inference.scans import Scan
from tests import nnunet_results


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


CPU, EXACT = torch.device("cpu"), Options("float32")


def elsewhere(predictor, settled=None):
    """The predictor as another process loads it."""
    sent = cluster.Sent.of(predictor, "cpu", settled or {})
    return cluster.loaded(pickle.loads(pickle.dumps(sent)))


@pytest.mark.slow  # imports nnU-Net
def test_every_process_has_the_folds_of_the_caller_and_no_other(tmp_path, monkeypatch):
    plans, description = nnunet_results.plans(), nnunet_results.description()
    folder = nnunet_results.write(tmp_path, plans, description, folds=(0, 1), steps=1)
    monkeypatch.chdir(folder)
    one = nnunet_bundle.read(folder / "fold_1")
    both = nnunet_bundle.read(folder)
    predictor = predict.load(one, CPU, EXACT, others=(both,))
    first, second = elsewhere(predictor).models
    checkpoints = [folder / f"fold_{n}" / "checkpoint_final.pth" for n in (0, 1)]
    assert first.checkpoints == (checkpoints[1],)
    assert list(second.checkpoints) == checkpoints
    assert (first.hash, second.hash) == (one.hash, both.hash)
    shutil.copy(checkpoints[0], checkpoints[1])
    with pytest.raises(ModelError, match=r"is another model on .*: its hash is"):
        elsewhere(predictor)
    checkpoints[1].unlink()
    with pytest.raises(ModelError, match=r"cannot be read on .*: no such file"):
        elsewhere(predictor)


def test_a_bundle_that_was_trained_anew_meanwhile_is_refused(untrained, tmp_path, monkeypatch):
    weights = untrained.read_weights()
    written = bundles.write(tmp_path / "model", untrained.task, untrained.plan, weights)
    monkeypatch.chdir(tmp_path)
    predictor = predict.load(bundles.read(written.folder), CPU, EXACT)
    sent = cluster.Sent.of(predictor, "cpu", {})
    assert cluster.loaded(sent).hash == predictor.hash
    changed = {name: weight + 1 for name, weight in weights.items()}
    bundles.write(tmp_path / "model", untrained.task, untrained.plan, changed)
    with pytest.raises(ModelError, match=r"model: is another model on .*: its hash is \w{8}, not"):
        cluster.loaded(sent)


class Reference:
    """A task that was handed over: what is to be done, and with what."""

    def __init__(self, act, *given):
        self.act, self.given = act, given


class Here:
    """Ray's part in this: tasks run when they are waited for, in this process."""

    class exceptions:  # noqa: N801 - as Ray has it
        RayTaskError = RayError = ZeroDivisionError

    def __init__(self):
        self.at_once = []

    def remote(self, **_):
        def of(act):
            return type("Task", (), {"remote": lambda *given: Reference(act, *given)})

        return of

    def put(self, thing):
        return thing

    def cluster_resources(self):
        return {}

    def wait(self, pending, num_returns):
        self.at_once.append(len(pending))
        return pending[:num_returns], pending[num_returns:]

    def get(self, ended):
        return ended.act(*ended.given)

    def shutdown(self):
        """Nothing was started."""


@pytest.mark.slow
def test_what_the_first_case_settles_on_holds_for_all_processes_and_later_runs(
    jobs, untrained, tmp_path, monkeypatch
):
    jobs[0], jobs[4] = jobs[4], jobs[0]  # the damaged one is the first
    judgements = iter(["one", "two"])
    monkeypatch.setattr("medseg.inference.precision.has_bfloat16", lambda _: True)
    monkeypatch.setattr(
        "medseg.inference.settling.judged", lambda *_, **__: (False, next(judgements))
    )
    here = Here()
    monkeypatch.setattr(cluster, "_connected", lambda _: here)
    predictor = predict.load(untrained, CPU, Options())

    def run():
        report = Report(tmp_path / "out/report.json", {})
        given = (predictor, Settings(), report, Ear())
        cluster.run(jobs, *given, write=export.write, address="local", device="cpu")
        done = [entry for entry in report.entries.values() if entry["status"] == "done"]
        assert {entry["settings"]["precision"] for entry in done} == {"auto"}
        return [entry["precisions"] for entry in done]

    (told,) = first = run()[:1]
    assert [each["used"] for each in told] == ["bfloat16"]
    assert told[0]["reason"].endswith("one")
    assert here.at_once == [1, 1, 3, 2, 1]
    assert run() == first * 4
    jobs[1].output.unlink()
    here.at_once.clear()
    assert run() == first * 4
    assert here.at_once == [2, 1]  # with the damaged one
