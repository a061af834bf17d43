"""MedSeg.py in Slicer's stand-ins: from the list of models to a correction that is sent back."""

import json
from pathlib import Path

import pytest
from MedSegLib.process import Line

from tests.slicer.stand_ins import MODULE, Process, Widget, model_document, model_list


class Medseg:
    """Stands for the program: answers each call with the next of its processes."""

    def __init__(self):
        self.answers, self.calls = [], []

    def __call__(self, command, environment):
        self.calls.append((command, environment))
        answer = self.answers.pop(0)
        return answer(command) if callable(answer) else answer


@pytest.fixture
def medseg():
    return Medseg()


@pytest.fixture
def panel(module, slicer, medseg, monkeypatch):
    """The module's widget after its setup, with two models on the list."""
    logic = module.MedSegLogic
    monkeypatch.setattr(module, "MedSegLogic", lambda: logic(medseg))
    slicer.t1 = slicer.volume("head T1")
    slicer.flair = slicer.volume("head FLAIR")
    slicer.active = slicer.t1.GetID()
    listed = model_list(model_document("t1", "flair", name="two"), model_document("mr", name="one"))
    medseg.answers = [Process([Line(listed, False)])]
    widget = module.MedSegWidget()
    module.qt.QSettings().setValue(module.PROGRAM_SETTING, "/venv/bin/medseg")
    widget.setup()
    widget.on_tick()
    return widget


def result(command, *, verdict="pass"):
    """Answer a prediction: write its files and say so."""
    folder = Path(command[command.index("--output") + 1])
    output = folder / "scan_seg.seg.nrrd"
    quality = {"verdict": verdict, "reasons": ["small"], "labels": {}}
    entry = {"output": str(output), "volumes_ml": {"anterior": 1.5}, "quality": quality}
    (folder / "report.json").write_text(json.dumps({"cases": [entry]}))
    lines = ({"step": "segmenting"}, {"step": "done", "output": str(output)})
    return Process(*([Line(json.dumps(each), False)] for each in lines))


def run(panel, medseg, answer=result):
    medseg.answers = [answer]
    panel.ui.runButton.click()
    while panel.logic.runs:
        panel.on_tick()


def test_slicer_finds_the_four_classes_by_name(module):
    for name in ("", "Widget", "Logic", "Test"):
        assert isinstance(getattr(module, f"MedSeg{name}"), type)


def test_the_codes_are_offered_once_slicer_has_started(module, slicer):
    parent = type("Parent", (), {})()
    module.MedSeg(parent)
    assert parent.title == "MedSeg"
    ((signal, load),) = slicer.started
    assert signal == "startupCompleted()"
    load()
    (path,) = slicer.terminologies
    assert Path(path).parent == MODULE / "Resources"
    assert Path(path).is_file()


def test_the_models_are_asked_for_outside_slicer_s_environment(panel, medseg):
    ((command, environment),) = medseg.calls
    assert command == ["/venv/bin/medseg", "models", "list", "--json"]
    assert environment["PATH"] == "/usr/bin"
    assert "PYTHONHOME" not in environment
    assert panel.ui.modelComboBox.items == [
        "Anterior and posterior hippocampus (two)",
        "Anterior and posterior hippocampus (one)",
    ]
    assert panel.timer.shown["runs"] is False


def test_volumes_are_proposed_for_the_channels_of_the_chosen_model(panel, slicer):
    (*gone, form) = panel.ui.channelsWidget.items
    assert all(each.shown["deleted"] for each in gone)
    assert [(label, box.currentNode()) for label, box in form.rows] == [
        ("t1:", slicer.t1),
        ("flair:", slicer.flair),
    ]
    panel.ui.modelComboBox.currentIndex = 1
    panel.on_model_changed()
    assert form.shown["deleted"]
    form = panel.ui.channelsWidget.items[-1]
    assert [(label, box.currentNode()) for label, box in form.rows] == [("mr:", slicer.t1)]


def test_a_run_shows_its_progress_and_loads_its_result_with_3d(panel, slicer, medseg):
    medseg.answers = [result]
    slicer.t1.transform = slicer.flair.transform = "moved"
    panel.ui.deviceComboBox.currentText = "cpu"
    panel.ui.runButton.click()
    assert panel.ui.cancelButton.shown["setEnabled"] == (True,)
    panel.on_tick()
    assert panel.ui.statusLabel.text == "Segmenting"
    assert panel.ui.progressBar.shown["setMaximum"] == (0,)
    assert set(slicer.saved) == {"scan_t1.nii", "scan_flair.nii"}
    while panel.logic.runs:
        panel.on_tick()
    loaded = panel.ui.segmentationSelector.node
    assert loaded.path.endswith("scan_seg.seg.nrrd")
    assert loaded.name == "head T1 two"
    assert loaded.calls == [
        ("SetReferenceImageGeometryParameterFromVolumeNode", slicer.t1),
        ("SetAndObserveTransformNodeID", "moved"),
        ("CreateDefaultDisplayNodes",),
        ("CreateClosedSurfaceRepresentation",),
        ("SetVisibility3D", 1),
    ]
    assert slicer.errors == []
    assert loaded.storage not in slicer.nodes.values()  # its file is gone
    assert panel.ui.cancelButton.shown["setEnabled"] == (False,)
    assert medseg.calls[-1][0][-2:] == ["cpu", "--json-progress"]
    assert list(Path(slicer.app.temporaryPath).iterdir()) == []  # nothing of a patient is left


def test_quality_and_volumes_are_shown(panel, medseg, module):
    run(panel, medseg)
    assert panel.ui.verdictLabel.text.splitlines()[-1] == "- small"
    assert module.VERDICT_COLOURS["pass"] in panel.ui.verdictLabel.shown["setStyleSheet"][0]
    cells = panel.ui.resultsTable.cells
    assert (cells[0, 0].text, cells[0, 1].text) == ("Anterior", "1.50")
    assert cells[0, 0].shown["setIcon"]


def test_a_run_is_refused_until_each_channel_has_its_volume(panel, slicer, medseg):
    panel.selectors["flair"].setCurrentNode(None)
    panel.ui.runButton.click()
    assert slicer.errors == ["Choose a volume for flair."]
    panel.models = ()
    panel.ui.runButton.click()
    assert slicer.errors[1:] == ["Choose a model."]
    assert len(medseg.calls) == 1


def test_what_goes_wrong_is_shown(panel, slicer, medseg):
    run(panel, medseg, Process([Line("medseg: out of memory. Close programs.", True)], code=1))
    assert slicer.errors == ["out of memory. Close programs."]
    assert panel.ui.statusLabel.text == "Failed"
    assert list(Path(slicer.app.temporaryPath).iterdir()) == []
    assert panel.ui.logTextEdit.shown["setPlainText"] == ("medseg: out of memory. Close programs.",)
    slicer.writes = False
    panel.ui.runButton.click()
    assert slicer.errors[1].endswith("was not written. Is the disk full?")


def test_a_missing_program_is_told(panel, slicer):
    panel.ui.programPathEdit.currentPath = ""
    panel.ui.refreshButton.click()
    assert slicer.errors == ["Choose where medseg is, under 'Installation'."]


def test_cancel_asks_and_the_second_time_ends(panel, slicer, medseg):
    process = Process([], [], [])
    process.stop = lambda *, at_once=False: process.stops.append(at_once)
    medseg.answers = [process]
    panel.ui.runButton.click()
    panel.ui.cancelButton.click()
    panel.ui.cancelButton.click()
    assert process.stops == [False, True]
    while panel.logic.runs:
        panel.on_tick()
    assert panel.ui.statusLabel.text == "Stopped"
    assert slicer.errors == []
    assert list(Path(slicer.app.temporaryPath).iterdir()) == []


def test_closing_the_module_ends_medseg_and_removes_its_files(panel, slicer, medseg):
    process = Process([], [])
    medseg.answers = [process]
    panel.ui.runButton.click()
    assert list(Path(slicer.app.temporaryPath).iterdir())
    panel.cleanup()
    assert process.stops == [True]
    assert list(Path(slicer.app.temporaryPath).iterdir()) == []


def send(panel, folder, case):
    panel.ui.folderPathEdit.currentPath = str(folder)
    panel.ui.caseLineEdit.text = case
    panel.ui.sendButton.click()


def test_a_correction_goes_back_with_the_images_it_was_made_of(panel, slicer, medseg, tmp_path):
    run(panel, medseg)
    panel.ui.modelComboBox.currentIndex = 1
    panel.on_model_changed()  # the panel now shows a model of one channel
    send(panel, tmp_path / "corrected", "case_001")
    assert slicer.errors == []
    listed = (tmp_path / "corrected" / "cases.csv").read_text(encoding="utf-8").splitlines()
    assert listed[0] == "case,t1,flair,label"
    assert slicer.saved["case_001_flair.nii.gz"] is slicer.flair
    written = slicer.saved["case_001.seg.nrrd"]
    assert written is not panel.ui.segmentationSelector.node
    assert written.segments == ["anterior", "posterior"]  # no region
    assert ("SetReferenceImageGeometryParameterFromVolumeNode", slicer.t1) in written.calls
    assert slicer.storages == []
    assert panel.ui.segmentationSelector.node.segments[-1] == "region.whole"
    assert [n for n in slicer.nodes.values() if n.name == "new"] == []
    assert panel.ui.caseLineEdit.text == "case_002"


def test_what_lies_under_different_transforms_is_neither_segmented_nor_sent(
    panel, slicer, medseg, tmp_path
):
    slicer.flair.transform = "moved"
    panel.ui.runButton.click()
    assert "under different transforms" in slicer.errors[0]
    slicer.flair.transform = None
    run(panel, medseg)
    panel.ui.segmentationSelector.node.transform = "moved"
    slicer.saved.clear()
    send(panel, tmp_path, "a")
    assert "under different transforms" in slicer.errors[1]
    assert slicer.saved == {}


def test_a_case_is_replaced_only_if_the_user_agrees(panel, slicer, medseg, tmp_path):
    run(panel, medseg)
    send(panel, tmp_path, "a")
    slicer.saved.clear()
    slicer.yes = False
    send(panel, tmp_path, "a")
    assert slicer.saved == {}
    slicer.yes = True
    send(panel, tmp_path, "a")
    assert "a.seg.nrrd" in slicer.saved


def test_a_correction_needs_a_segmentation_a_folder_and_a_name(panel, slicer, medseg, tmp_path):
    send(panel, tmp_path, "a")
    assert slicer.errors == ["Choose a segmentation and a folder."]
    run(panel, medseg)
    send(panel, tmp_path, "Max Mustermann")
    assert "is no name for a case" in slicer.errors[1]
    drawn = slicer.add("vtkMRMLSegmentationNode", "drawn by hand")
    panel.ui.segmentationSelector.node = drawn
    panel.selectors["t1"].node = None
    send(panel, tmp_path, "a")
    assert slicer.errors[2] == "Choose a volume for t1."


def test_the_folder_is_kept_and_a_name_proposed(panel, module, tmp_path):
    panel.ui.folderPathEdit.currentPath = str(tmp_path)
    panel.ui.folderPathEdit.slots["currentPathChanged(QString)"]()
    assert panel.ui.caseLineEdit.text == "case_001"
    assert module.qt.QSettings().value(module.FOLDER_SETTING) == str(tmp_path)
    assert isinstance(panel.ui.caseLineEdit, Widget)
