"""What a run folder notes."""

import json

import pytest

from medseg.data.cases import Case
from medseg.data.folds import Split
from medseg.errors import UsageError
from medseg.segmentation import FileValues
from medseg.training.run_folder import (
    Request,
    RunFolder,
    append_metrics,
    keep_metrics,
    read_metrics,
    read_request,
    read_split,
    start,
    write_split,
)


@pytest.fixture
def request_():
    return Request(
        task="phantom",
        data="/data",
        network=None,
        fold=1,
        epochs=None,
        max_seconds=60.0,
        device="cpu",
        settings=("training.seed=3",),
        init=("/fine.pt", "/coarse.pt"),
    )


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "mein Läuf")


def test_what_was_asked_for_is_read_back(folder, request_, phantom_task):
    start(folder, request_, phantom_task)
    assert read_request(folder) == request_


@pytest.mark.parametrize(
    ("noted", "expected"), [(None, ()), ("/one.pt", ("/one.pt",)), (["/a", "/b"], ("/a", "/b"))]
)
def test_weights_to_begin_with_are_read_as_older_versions_noted_them(
    folder, request_, phantom_task, noted, expected
):
    start(folder, request_, phantom_task)
    document = json.loads(folder.request.read_text())
    folder.request.write_text(json.dumps({**document, "init": noted}))
    assert read_request(folder).init == expected
    del document["init"]
    folder.request.write_text(json.dumps(document))
    assert read_request(folder).init == ()


def test_versions_are_noted(folder, request_, phantom_task):
    start(folder, request_, phantom_task)
    versions = json.loads((folder.path / "versions.json").read_text())
    assert {"python", "medseg", "torch", "monai"} <= set(versions)


def test_a_second_run_in_the_folder_is_refused(folder, request_, phantom_task):
    start(folder, request_, phantom_task)
    with pytest.raises(UsageError, match="--resume"):
        start(folder, request_, phantom_task)


def test_resuming_nothing_is_refused(folder):
    with pytest.raises(UsageError, match="no training run"):
        read_request(folder)


def test_a_damaged_note_is_refused(folder, request_, phantom_task):
    start(folder, request_, phantom_task)
    folder.request.write_text("{")
    with pytest.raises(UsageError, match="damaged"):
        read_request(folder)


def test_metrics_are_appended_and_cut(tmp_path):
    path = tmp_path / "metrics.csv"
    assert read_metrics(path) == []
    for step in (2, 4, 6):
        append_metrics(path, {"step": step, "loss": 1 / step})
    assert path.read_text().splitlines()[0] == "step,loss"
    keep_metrics(path, until_step=4)
    assert [row["step"] for row in read_metrics(path)] == [2, 4]
    keep_metrics(path, until_step=0)
    assert read_metrics(path) == []
    append_metrics(path, {"step": 8, "loss": 0.5})
    assert read_metrics(path) == [{"step": 8, "loss": 0.5}]


def test_the_split_is_read_back(folder, tmp_path):
    here = Case("a", (tmp_path / "a.nii.gz",), tmp_path / "a_label.nii.gz")
    there = Case("b", (tmp_path / "b.nii.gz",), patient="p")
    write_split(folder, Split(training=(here,), held_out=(there, here)))
    assert read_split(folder) == Split(training=(here,), held_out=(there, here))


def test_what_the_layout_knew_of_a_case_is_read_back(folder, tmp_path):
    values = FileValues(((5, 0), (7, 1)), others_are_background=True)
    case = Case("a", (tmp_path / "a.nii.gz",), tmp_path / "b.nii.gz", "p", (1, 0), values)
    parts = Split(training=(case,), held_out=(case,), watched=(case,), name="18-12")
    write_split(folder, parts)
    assert read_split(folder) == parts
    document = json.loads(folder.split.read_text())
    for part in ("training", "held_out"):  # as earlier runs noted it
        document[part] = [{k: document[part][0][k] for k in ("name", "images", "label")}]
    folder.split.write_text(json.dumps({k: document[k] for k in ("training", "held_out")}))
    assert read_split(folder).validation == read_split(folder).held_out


def test_a_folder_without_a_run_holds_out_nothing(folder):
    with pytest.raises(UsageError, match="no training run"):
        read_split(folder)


def test_a_run_that_never_began_is_started_anew(folder, request_, phantom_task):
    start(folder, request_, phantom_task)
    folder.cache.mkdir()
    append_metrics(folder.metrics, {"step": 1.0})
    start(folder, request_, phantom_task, anew=True)
    assert not folder.cache.exists()
    assert read_metrics(folder.metrics) == []


def test_files_of_others_are_left_alone(folder, request_, phantom_task):
    folder.cache.mkdir(parents=True)
    (folder.cache / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="something else called cache"):
        start(folder, request_, phantom_task)
    assert (folder.cache / "thesis.tex").read_text() == "precious"


def test_a_damaged_split_is_refused(folder, request_, phantom_task):
    start(folder, request_, phantom_task)
    folder.split.write_text("[]")
    with pytest.raises(UsageError, match="damaged"):
        read_split(folder)
