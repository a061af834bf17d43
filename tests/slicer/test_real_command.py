"""The module's library against the real command line, with a network that was not trained."""

import os
import shutil
import sys
import time

import numpy as np
import pytest
import slicerio
from MedSegLib import corrections, models, prediction, report
from MedSegLib.process import SystemProcess

from medseg import model_list
from medseg.__main__ import run
from medseg.data import layouts
from medseg.data.cases import read_image, read_labels

MOST_SECONDS = 300


def listed(capsys):
    assert run(list(models.LIST)) == 0
    return models.parse(capsys.readouterr().out.splitlines())


def finished(call):
    end = time.monotonic() + MOST_SECONDS
    while not call.finished and time.monotonic() < end:
        call.update()
        time.sleep(0.02)
    assert call.error is None, call.error
    return call


@pytest.mark.slow
def test_a_scan_is_segmented_read_judged_and_sent_back_for_training(
    untrained, scan, tmp_path, home, capsys
):
    model_list.add(untrained)
    program = [sys.executable, "-m", "medseg"]
    environment = {**os.environ, "MEDSEG_HOME": str(home)}
    (model,) = listed(capsys)
    assert model.titles == {
        "anterior": "Anterior hippocampus",
        "posterior": "Posterior hippocampus",
    }
    folder = tmp_path / "for Slicer"
    folder.mkdir()
    files = {channel.name: shutil.copy(scan, folder / "scan.nii.gz") for channel in model.channels}
    command = prediction.arguments(model, files, folder, device="cpu")
    done = finished(prediction.Prediction(SystemProcess([*program, *command], environment)))
    found = report.read(folder, done.output_file, model)
    assert found.verdict in {"pass", "check", "fail"}
    assert [row.cells[0] for row in found.rows] == list(model.titles.values())
    written = slicerio.read_segmentation(str(done.output_file))
    assert [segment["name"] for segment in written["segments"]] == list(model.titles.values())

    place = corrections.place(tmp_path / "corrected", "case_001", list(files))
    shutil.copy(scan, next(iter(place.images.values())))
    shutil.copy(done.output_file, place.label)
    corrections.record(place)
    matched = layouts.find(place.folder, untrained.task)
    (case,) = matched.data_set.cases
    image = read_image(case, untrained.task)
    assert np.array_equal(read_labels(case, matched.task, image.grid), written["voxels"])


def test_the_list_of_models_tells_what_the_module_needs(untrained, home, capsys):
    assert home
    assert listed(capsys) == ()
    model_list.add(untrained)
    (model,) = listed(capsys)
    assert model.name == model_list.name_of(untrained)
    assert [channel.name for channel in model.channels] == list(untrained.task.channels)
    assert model.colours["anterior"] == untrained.task.labels["anterior"].colour
