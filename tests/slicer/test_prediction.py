import json
from pathlib import Path

import pytest
from MedSegLib import models, prediction
from MedSegLib.process import Line

from tests.slicer.stand_ins import Process, model_document, model_list

(MODEL,) = models.parse([model_list(model_document("t1", "flair"))])


def line(step, **fields):
    return Line(json.dumps({"step": step, **fields}), False)


def test_the_command_names_each_channel_and_no_name_of_the_scene(tmp_path):
    files = {name: prediction.scan_file(tmp_path, name) for name in ("flair", "t1")}
    assert prediction.arguments(MODEL, files, tmp_path, device="cpu") == [
        *("predict", "--channel", f"t1={tmp_path / 'scan_t1.nii'}"),
        *("--channel", f"flair={tmp_path / 'scan_flair.nii'}"),
        *("--model", MODEL.name, "--output", str(tmp_path), "--format", "seg.nrrd"),
        *("--device", "cpu", "--json-progress"),
    ]


def test_its_lines_say_how_far_it_is():
    run = prediction.Prediction(
        Process(
            [line("start", cases=1, skipped=0)],
            [line("reading", case="scan")],
            [line("segmenting", case="scan", fraction=0.25)],
            [line("tea_break"), Line("a word by the way", False)],
            [line("done", output="/tmp/out/scan_seg.seg.nrrd", verdict="pass", extra=1)],
        )
    )
    seen = []
    while not run.finished:
        run.update()
        seen.append((run.text, run.fraction))
    assert seen[:4] == [
        ("Loading the model", None),
        ("Reading the scan", None),
        ("Segmenting", 0.25),
        ("Tea_break", None),
    ]
    assert seen[-1] == ("Done", 1.0)
    assert run.output_file == Path("/tmp/out/scan_seg.seg.nrrd")
    assert run.error is None
    assert run.log == ["a word by the way"]


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        ([line("failed", error="scan: is constant. Mend it.")], 3, "scan: is constant. Mend it."),
        ([Line("medseg: there is no model 'x'. Train one.", True)], 5, "there is no model 'x'"),
        ([line("reading")], 0, "medseg ended without a segmentation"),
    ],
)
def test_a_failure_says_why(said, code, told):
    run = prediction.Prediction(Process(said, code=code))
    run.update()
    assert run.error.startswith(told)


def test_a_run_that_was_cancelled_has_failed_at_nothing():
    run = prediction.Prediction(Process([line("reading")], []))
    run.update()
    run.cancel()
    run.update()
    assert run.cancelled
    assert run.error == "stopped"
