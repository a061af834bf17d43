from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medseg import export, formats
from medseg.data.cases import Case
from medseg.errors import ImageError
from medseg.inference import (
    cohort_run,
    memory_plan,
    pipeline,
    precision,
    predict,
    scan_size,
    settling,
)
from medseg.inference.cohort import Job, Settings
from medseg.inference.options import Options
from medseg.inference.reduction import Reducing
from medseg.inference.report import Report
from medseg.inference.scans import Scan


class Ear:
    """Remembers what it is told."""

    def __init__(self):
        self.told = []

    def on_start(self, total, skipped):
        self.told.append(("start", total, skipped))

    def on_step(self, job, step):
        self.told.append((step, job.case.name))

    def on_done(self, job, entry, seconds_left):  # noqa: ARG002
        self.told.append(("done", job.case.name))

    def on_failure(self, failure, seconds_left):  # noqa: ARG002
        self.told.append(("failed", failure.job.case.name))

    def on_remark(self, text):
        self.told.append(("remark", text))


@pytest.fixture
def predictor(untrained):
    return predict.load(untrained, torch.device("cpu"))


def run(jobs, predictor, report=None, **settings):
    ear = Ear()
    outcome = cohort_run.run(
        jobs,
        predictor,
        Settings(**settings),
        report or Report(None, {}),
        ear,
        write=export.write,
    )
    return outcome, ear.told


def test_cases_are_done_skipped_or_failed_and_every_step_is_told(scan, predictor, tmp_path):
    fault = ImageError("holds 2 DICOM series:\n  Doe Jane\nNone", remedy="Choose", where=scan)
    good = Job(Scan(Case("good", (scan,))), tmp_path / "good_seg.nii.gz")
    bad = Job(Scan(Case("bad", (scan,)), fault), tmp_path / "bad_seg.nii.gz")
    report = Report(tmp_path / "report.json", {})
    outcome, told = run([good, bad], predictor, report)
    assert (outcome.done, outcome.skipped) == (1, 0)
    assert [failure.error for failure in outcome.failures] == [fault]
    of_good = [(step, "good") for step in ("reading", "segmenting", "writing", "done")]
    assert [step for step in told if step[1] == "good"] == of_good
    assert (told[0], told[-1]) == (("start", 2, 0), ("failed", "bad"))
    assert "Doe" not in (tmp_path / "report.json").read_text()
    again, told = run([good, bad], predictor, Report(tmp_path / "report.json", {}))
    assert (again.done, again.skipped) == (0, 1)
    assert told == [("start", 2, 1), ("failed", "bad")]


def test_an_error_that_nobody_worded_puts_no_field_of_a_header_into_the_report(
    scan, predictor, tmp_path, monkeypatch
):
    def read(*_):
        raise KeyError("DOE^JANE")

    monkeypatch.setattr(cohort_run, "read_image", read)
    report = Report(tmp_path / "report.json", {})
    outcome, _ = run([Job(Scan(Case("a", (scan,))), tmp_path / "a_seg.nii.gz")], predictor, report)
    assert "DOE^JANE" in str(outcome.failures[0].error)
    text = (tmp_path / "report.json").read_text()
    assert "failed with KeyError" in text
    assert "DOE" not in text


@pytest.mark.parametrize("overlap", [True, False])
def test_a_remark_on_the_folder_is_a_warning_and_no_stranger(scan, predictor, tmp_path, overlap):
    job = Job(Scan(Case("a", (scan,)), remark="mixed"), tmp_path / "a_seg.nii.gz")
    report = Report(tmp_path / "report.json", {})
    run([job], predictor, report, strict=True, overlap=overlap)
    (entry,) = report.entries.values()
    assert entry["warnings"] == ["mixed"]
    assert entry["quality"]["verdict"] == "check"


@pytest.mark.parametrize("is_known", [True, False])
def test_a_scan_whose_size_is_known_when_it_is_read_goes_alone(
    is_known, scan, predictor, tmp_path, monkeypatch
):
    seen, act = [], pipeline.run

    def watched(jobs, stages, *, overlap):
        seen.append(overlap)
        return act(jobs, stages, overlap=overlap)

    monkeypatch.setattr(pipeline, "run", watched)
    if not is_known:
        monkeypatch.setattr(scan_size, "of_case", lambda *_: None)
    outcome, _ = run([Job(Scan(Case("a", (scan,))), tmp_path / "a_seg.nii.gz")], predictor)
    assert (outcome.done, seen) == (1, [is_known])


def test_headers_are_read_once_and_no_further_than_a_size_that_is_unknown(
    scan, predictor, tmp_path, monkeypatch
):
    asked, events, measure = [], [], scan_size.of_case

    def of_case(case, choice):
        asked.append(case.name)
        return None if case.name == "b" else measure(case, choice)

    def watched(jobs, stages, *, overlap):
        events.append((list(asked), overlap))
        for job in jobs:
            stages.read(job)
        return []

    monkeypatch.setattr(scan_size, "of_case", of_case)
    monkeypatch.setattr(pipeline, "run", watched)
    run([Job(Scan(Case(name, (scan,))), tmp_path / f"{name}.nii.gz") for name in "abc"], predictor)
    assert events == [(["a", "b"], False)]
    assert asked == ["a", "b", "c"]


class Hungry(nn.Module):
    """Runs out of memory above a number of voxels."""

    def forward(self, patches):
        if patches[0].numel() > 32 * 40 * 32:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return patches.clone()


def test_a_patch_that_is_too_large_to_be_measured_is_made_smaller(predictor):
    plan = predictor.bundle.plan.model_copy(update={"patch": (64, 40, 32)})
    hungry = replace(predictor, network=Hungry(), bundle=replace(predictor.bundle, plan=plan))
    told = []
    reducing = Reducing(hungry, told.append)
    there = cohort_run.budget(reducing, Settings(), exact=True)
    assert reducing.predictor.bundle.plan.patch == (32, 40, 32)
    assert there.tile == 32 * 40 * 32
    assert len(told) == 1


def test_what_a_full_gpu_cannot_take_the_processor_does_and_is_reported_with(
    scan, predictor, tmp_path, monkeypatch
):
    def network_bytes(model, *_, exact):  # noqa: ARG001
        if model.device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 0

    monkeypatch.setattr(memory_plan, "network_bytes", network_bytes)
    free = {"mem_get_info": (0, 9), "memory_reserved": 0, "memory_allocated": 0}
    for name, value in {**free, "reset_peak_memory_stats": None}.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    on_gpu = replace(predictor, network=nn.Identity(), device=torch.device("cuda"))
    report = Report(None, {})
    jobs = [Job(Scan(Case(name, (scan,))), tmp_path / f"{name}_seg.nii.gz") for name in "ab"]
    outcome, told = run(jobs, on_gpu, report)
    assert outcome.failures == []
    remarks = [text for step, text, *_ in told if step == "remark"]
    assert remarks == ["The GPU's memory ran out; going on with the processor, which takes longer"]
    entries = list(report.entries.values())
    assert [list(entry["peak_memory_mb"]) for entry in entries] == [["host"]] * 2
    assert [len(entry["precisions"]) for entry in entries] == [1, 1]


def test_the_segmentation_is_the_one_of_a_single_prediction(scan, predictor, tmp_path):
    job = Job(Scan(Case("a", (scan,))), tmp_path / "a_seg.nii.gz")
    run([job], predictor)
    expected = predict.predict(predictor, formats.read(scan)).label_map
    assert np.array_equal(formats.read(job.output).voxels[0], expected)


def test_a_deleted_map_of_entropy_is_made_again_and_what_a_kill_left_is_removed(
    scan, predictor, tmp_path
):
    out = tmp_path / "out"
    job = Job(Scan(Case("a", (scan,))), out / "a_seg.nii.gz", (out / "a_seg.mrb",))

    def again():
        return run([job], predictor, Report(out / "report.json", {}), uncertainty=True)[1][0]

    assert again() == ("start", 1, 0)
    (out / "a_seg.mrb").touch()  # the writer of this test makes one format
    assert again() == ("start", 1, 1)
    (out / "entropy/a_entropy.nii.gz").unlink()
    names = ("report.json", "a_seg.nii.gz", "a_seg.mrb", "entropy/a_entropy.nii.gz")
    left = [(out / name).with_name(f".0123abcd.partial-{Path(name).name}") for name in names]
    for path in left:
        path.touch()
    assert again() == ("start", 1, 0)
    assert (out / "entropy/a_entropy.nii.gz").is_file()
    assert not [path for path in left if path.exists()]
    left[2].touch()
    assert again() == ("start", 1, 1)  # removed where nothing is left to do, too
    assert not left[2].exists()
    (entry,) = Report(out / "report.json", {}).entries.values()
    assert [Path(path).name for path in entry["outputs"]] == [
        *("a_entropy.nii.gz", "a_seg.mrb", "a_seg.nii.gz")
    ]


@pytest.mark.slow
def test_a_cohort_settles_once_on_what_to_compute_in(scan, untrained, tmp_path, monkeypatch):
    judgements = iter(["one", "two", "three"])
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: True)
    monkeypatch.setattr(settling, "judged", lambda *_, **__: (False, next(judgements)))
    jobs = [Job(Scan(Case(n, (scan,))), tmp_path / f"{n}_seg.nii.gz") for n in "ab"]

    def again(asked="auto", **settings):
        predictor = predict.load(untrained, torch.device("cpu"), Options(asked))
        report = Report(tmp_path / "report.json", {})
        _, told = run(jobs, predictor, report, **settings)
        entries = report.entries.values()
        assert {entry["settings"]["precision"] for entry in entries} == {asked}
        ((reason, used),) = {
            (each["reason"].split("; ")[-1], each["used"])
            for entry in entries
            for each in entry["precisions"]
        }
        return reason, used, [step[1] for step in told if step[0] in ("remark", "done")]

    assert again() == ("one", "bfloat16", ["a", "b"])
    jobs[0].output.unlink()
    assert again() == ("one", "bfloat16", ["a"])
    assert again(overwrite=True) == ("two", "bfloat16", ["a", "b"])
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: False)
    monkeypatch.setattr(cohort_run, "has_bfloat16", lambda _: False)
    jobs[0].output.unlink()
    reason, used, (remark, *done) = again()
    assert (reason, used, done) == ("two", "bfloat16", ["a"])
    assert "though this cpu emulates it" in remark
    assert again("float32") == ("asked for", "float32", ["a", "b"])
