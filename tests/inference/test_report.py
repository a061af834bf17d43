import errno
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from medseg import recipe, task
from medseg.errors import OutputError, UsageError
from medseg.inference.report import Entry, Report, described, read, state_of

MODEL = {"task": "hippocampus", "network": "toy", "hash": "ab"}


@pytest.fixture
def entry(tmp_path):
    """A case that is done, with its output in place."""
    output = tmp_path / "a_seg.nii.gz"
    output.write_bytes(b"voxels")
    return Entry(
        case="Größe",
        input=["a.nii.gz"],
        output=str(output),
        status="done",
        model="ab",
        inputs_state=[[3, 4]],
        settings={"volume": [1, 2]},
    )


def test_what_is_recorded_is_read_back_by_the_next_run(entry, tmp_path):
    path = tmp_path / "report.json"
    Report(path, MODEL).record(entry)
    assert Report(path, MODEL).is_done(entry, [Path(entry.output)])
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["model"] == MODEL
    assert [case["case"] for case in document["cases"]] == ["Größe"]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "cd"},
        {"inputs_state": [[3, 5]]},
        {"input": ["b.nii.gz"]},
        {"settings": {"volume": None}},
        {"output": "elsewhere"},
        {"label_values": {"anterior": 4}},
        {"channel_order": [1, 0]},
    ],
)
def test_another_model_scan_or_setting_is_not_done(entry, change):
    report = Report(None, MODEL)
    report.record(entry)
    assert report.is_done(entry, [Path(entry.output)])
    assert not report.is_done(replace(entry, **change), [Path(entry.output)])


def test_what_failed_or_was_deleted_is_not_done(entry, tmp_path):
    report = Report(None, MODEL)
    report.record(replace(entry, status="failed"))
    assert not report.is_done(entry, [Path(entry.output)])
    report.record(entry)
    (tmp_path / "a_seg.nii.gz").unlink()
    assert not report.is_done(entry, [Path(entry.output)])


def test_a_reader_gets_the_entries_the_model_and_the_version(entry, tmp_path):
    path = tmp_path / "report.json"
    full = replace(entry, label_values={"anterior": 3}, channel_order=[1, 0])
    Report(path, MODEL).record(full)
    document = read(path)
    assert document.entries == (full,)
    assert document.model == MODEL
    assert document.version == json.loads(path.read_text(encoding="utf-8"))["medseg"]


def test_fields_of_other_versions_are_passed_over(entry, tmp_path):
    path = tmp_path / "report.json"
    Report(path, MODEL).record(entry)
    document = json.loads(path.read_text(encoding="utf-8"))
    document["cases"][0]["of_tomorrow"] = 1
    del document["cases"][0]["label_values"]
    path.write_text(json.dumps(document), encoding="utf-8")
    assert read(path).entries == (entry,)


@pytest.mark.parametrize("lacking", ["model", "medseg"])
def test_a_report_without_its_head_is_refused(lacking, entry, tmp_path):
    path = tmp_path / "report.json"
    Report(path, MODEL).record(entry)
    document = json.loads(path.read_text(encoding="utf-8"))
    del document[lacking]
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError, match="is no report of medseg"):
        read(path)


def test_the_description_of_a_model_holds_its_task_and_plan_whole(untrained):
    head = described(untrained)
    assert head["hash"] == untrained.hash
    assert task.parse(head["task_yaml"], where="") == untrained.task
    assert recipe.read_plan(head["plan_yaml"], where="") == untrained.plan


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2, "cases": []}', '{"format": 1}'])
def test_a_file_that_is_no_report_is_not_overwritten(content, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="is no report of medseg"):
        Report(path, MODEL)
    assert path.read_text() == content


def test_a_changed_file_has_another_state(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    before = state_of((tmp_path / "a", tmp_path / "absent"))
    assert before[0][0] == 1
    assert before[1] == [0, 0]
    (tmp_path / "a").write_bytes(b"12")
    assert state_of((tmp_path / "a",))[0] != before[0]


@pytest.mark.parametrize("name", ["slices", "scan.mhd", "scan.hdr", "scan.img.gz"])
def test_a_changed_part_of_a_scan_changes_its_state(name, tmp_path):
    given = tmp_path / name
    part = tmp_path / {"slices": "slices/2.dcm", "scan.mhd": "scan.raw"}.get(name, "scan.img.gz")
    part.parent.mkdir(exist_ok=True)
    if name != "slices":
        given.write_bytes(b"header")
    part.write_bytes(b"1")
    before = state_of((given,))
    part.write_bytes(b"12")
    assert state_of((given,)) != before


def test_every_file_that_was_asked_for_must_be_there(entry, tmp_path):
    report = Report(None, MODEL)
    surfaces, output = tmp_path / "a_stl", tmp_path / "a_seg.nii.gz"
    surfaces.mkdir()
    (surfaces / "liver.stl").touch()
    told = [str(output), str(surfaces / "liver.stl"), str(tmp_path / "a.mrb")]
    report.record(replace(entry, outputs=told))
    assert report.is_done(entry, [surfaces, output])
    assert not report.is_done(entry, [tmp_path / "a.mrb", output])
    (surfaces / "liver.stl").unlink()
    assert not report.is_done(entry, [surfaces, output])
    assert report.is_done(entry, [output])


def test_what_the_same_models_settled_on_is_found(entry):
    report, told = Report(None, MODEL), [{"used": "bfloat16", "reason": "agrees"}]
    asked = {"models": ["ab"], "precision": "auto"}
    expected = replace(entry, settings=asked)
    report.record(replace(expected, output="1", precisions=[]))
    report.record(replace(expected, output="2", status="failed", precisions=told))
    report.record(replace(expected, output="3", settings={**asked, "models": ["cd"]}))
    assert report.precisions_of(expected) == []
    report.record(replace(expected, output="4", precisions=told))
    assert report.precisions_of(expected) == told


def test_what_will_be_written_is_named_before_it_is(entry, tmp_path):
    path = tmp_path / "report.json"
    Report(path, MODEL).announce([tmp_path / "b.nii", tmp_path / "entropy" / "a.nii"])
    report = Report(path, MODEL)
    report.record(entry)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["files"] == ["a.nii", "b.nii"]
    assert len(document["cases"]) == 1


HOLD = """
import sys, time, filelock
lock = filelock.FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


def test_two_runs_do_not_write_into_one_folder_and_a_killed_one_keeps_nobody_out(entry, tmp_path):
    path = tmp_path / "new" / "report.json"
    with Report(path, MODEL).alone():
        with (
            pytest.raises(UsageError, match="new: another run of medseg writes into this folder"),
            Report(path, MODEL).alone(),
        ):
            pass
        place = path.with_name(".report.json.lock")
        assert place.exists()
    assert list(path.parent.iterdir()) == []
    other = subprocess.Popen([sys.executable, "-c", HOLD, place], stdout=subprocess.PIPE, text=True)
    with other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="another run"), Report(path, MODEL).alone():
            pass
        other.send_signal(signal.SIGKILL)
    assert place.exists()
    before = Report(path, MODEL)
    Report(path, MODEL).record(entry)
    with before.alone():
        assert list(before.entries) == [entry.output]  # what another run recorded meanwhile
    with Report(None, MODEL).alone():
        pass


def test_a_disk_that_keeps_no_locks_is_written_to(entry, tmp_path, monkeypatch):
    def acquire(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    report = Report(tmp_path / "report.json", MODEL)
    with report.alone():
        report.record(entry)
    monkeypatch.setattr("filelock.FileLock.acquire", lambda *_, **__: tmp_path.read_bytes())
    with pytest.raises(OutputError, match="cannot be written"), report.alone():
        pass
