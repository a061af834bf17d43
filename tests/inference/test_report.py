import json
from dataclasses import replace

import pytest

from medseg import recipe, task
from medseg.errors import UsageError
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
    assert Report(path, MODEL).is_done(entry)
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
    assert report.is_done(entry)
    assert not report.is_done(replace(entry, **change))


def test_what_failed_or_was_deleted_is_not_done(entry, tmp_path):
    report = Report(None, MODEL)
    report.record(replace(entry, status="failed"))
    assert not report.is_done(entry)
    report.record(entry)
    (tmp_path / "a_seg.nii.gz").unlink()
    assert not report.is_done(entry)


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
