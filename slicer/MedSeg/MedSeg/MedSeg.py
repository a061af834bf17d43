"""The 3D Slicer module: segments with the user's own medseg, which runs as a process of its own.

What is decided is decided in `MedSegLib`, which knows no Slicer; `MedSegScene` carries data between
it and the scene; here is what the user sees.
"""

import tempfile
from pathlib import Path

import qt
import slicer
import vtk
from MedSegLib import channels, corrections, models, prediction, report
from MedSegScene.logic import PROGRAM_SETTING, MedSegLogic
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

TERMINOLOGY = "SegmentationCategoryTypeModifier-medseg.term.json"
POLL_MS = 200
FOLDER_SETTING = "MedSeg/CorrectionsFolder"
VERDICT_COLOURS = {"pass": "#2e7d32", "check": "#b26a00", "fail": "#c62828"}


class MedSeg(ScriptedLoadableModule):
    """What Slicer lists."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "MedSeg"
        self.parent.categories = ["Segmentation"]
        self.parent.dependencies = ["Segmentations", "Terminologies"]
        self.parent.contributors = ["The medseg authors"]
        self.parent.helpText = (
            "Segments volumes with a model of medseg, which you install beside Slicer. "
            "For research use only; no medical device."
        )
        self.parent.acknowledgementText = "Licence: Apache-2.0."
        slicer.app.connect("startupCompleted()", load_terminology)


def load_terminology() -> None:
    """Offer the codes of medseg's tasks where Slicer asks for a segment's terminology."""
    folder = Path(__file__).parent / "Resources"
    slicer.modules.terminologies.logic().LoadTerminologyFromFile(str(folder / TERMINOLOGY))


class MedSegWidget(ScriptedLoadableModuleWidget):
    """The panel; it shows what the logic knows and tells it what the user wants."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self.models = ()
        self.selectors = {}
        self.rows = None

    def setup(self) -> None:
        """Build the panel and ask medseg for its models."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/MedSeg.ui"))
        panel.setMRMLScene(slicer.mrmlScene)
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        self.logic = MedSegLogic()
        self.timer = qt.QTimer()
        self.timer.setInterval(POLL_MS)
        self.timer.connect("timeout()", self.on_tick)
        for device in prediction.DEVICES:
            self.ui.deviceComboBox.addItem(device)
        self.ui.programPathEdit.currentPath = self.logic.program()
        self.ui.folderPathEdit.currentPath = qt.QSettings().value(FOLDER_SETTING) or ""
        self._connect()
        self.on_refresh()
        self.on_folder_changed()

    def _connect(self) -> None:
        self.ui.refreshButton.connect("clicked()", self.on_refresh)
        self.ui.programPathEdit.connect("currentPathChanged(QString)", self.on_program_changed)
        self.ui.modelComboBox.connect("currentIndexChanged(int)", self.on_model_changed)
        self.ui.runButton.connect("clicked()", self.on_run)
        self.ui.cancelButton.connect("clicked()", self.on_cancel)
        self.ui.folderPathEdit.connect("currentPathChanged(QString)", self.on_folder_changed)
        self.ui.sendButton.connect("clicked()", self.on_send)

    def cleanup(self) -> None:
        """Stop what runs when the module is closed."""
        self.timer.stop()
        if self.logic is not None:
            self.logic.close()

    # What the user does

    def on_program_changed(self) -> None:
        """Keep which medseg is used, and ask it for its models."""
        qt.QSettings().setValue(PROGRAM_SETTING, self.ui.programPathEdit.currentPath)
        self.on_refresh()

    def on_refresh(self) -> None:
        """Ask medseg for its models."""
        if self._try(lambda: self.logic.list_models(self.ui.programPathEdit.currentPath)):
            self._show_state("Asking medseg for its models")
            self.timer.start()

    def on_model_changed(self) -> None:
        """Show a volume selector for each channel of the model, with what the names tell."""
        layout = self._fresh_rows()
        self.selectors = {}
        model = self._model()
        if model is None:
            return
        volumes = {node.GetID(): node.GetName() for node in _volumes()}
        guessed = channels.guess(model.channels, volumes, _active_volume())
        for channel in model.channels:
            selector = slicer.qMRMLNodeComboBox()
            selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
            selector.addEnabled = selector.removeEnabled = False
            selector.noneEnabled = True
            selector.setMRMLScene(slicer.mrmlScene)
            selector.setCurrentNodeID(guessed[channel.name] or "")
            layout.addRow(f"{channel.name}:", selector)
            self.selectors[channel.name] = selector

    def _fresh_rows(self):
        """Put an empty form in the place of the last one; older Qt cannot remove rows of a form."""
        if self.rows is not None:
            self.rows.hide()
            self.rows.deleteLater()
        self.rows = qt.QWidget()
        self.ui.channelsWidget.layout().addWidget(self.rows)
        return qt.QFormLayout(self.rows)

    def on_run(self) -> None:
        """Segment the chosen volumes with the chosen model."""
        model, chosen = self._model(), self._chosen()
        fault = "Choose a model." if model is None else channels.fault(_identifiers(chosen))
        if fault is not None:
            slicer.util.errorDisplay(fault)
            return
        program, device = self.ui.programPathEdit.currentPath, self.ui.deviceComboBox.currentText
        if self._try(lambda: self.logic.predict(program, model, chosen, device)):
            self._show_state("Starting medseg")
            self.timer.start()

    def on_cancel(self) -> None:
        """Stop what runs; asked again, end it."""
        self.logic.cancel()

    def on_folder_changed(self) -> None:
        """Propose a name for the next case of the folder."""
        folder = self.ui.folderPathEdit.currentPath
        qt.QSettings().setValue(FOLDER_SETTING, folder)
        if folder:
            self._try(lambda: self._propose(folder))

    def on_send(self) -> None:
        """Write the corrected segmentation and its images where training finds them."""
        self._try(self._send)

    def _send(self) -> None:
        folder, case = self.ui.folderPathEdit.currentPath, self.ui.caseLineEdit.text.strip()
        segmentation = self.ui.segmentationSelector.currentNode()
        if segmentation is None or not folder:
            raise ValueError("Choose a segmentation and a folder.")
        images = self.logic.images_of(segmentation) or self._chosen()
        fault = channels.fault(_identifiers(images)) if images else "Choose its images above."
        if fault is not None:
            raise ValueError(fault)
        question = f"{case} is in this folder already. Replace it?"
        known = case in corrections.names(Path(folder))
        if known and not slicer.util.confirmYesNoDisplay(question):
            return
        self.logic.send(segmentation, images, Path(folder), case)
        self.ui.sentLabel.setText(f"{case} was written to {folder}")
        self._propose(folder)

    # What medseg says

    def on_tick(self) -> None:
        """Show how far medseg is, and what it found when it has ended."""
        call = self.logic.call
        call.update()
        self.ui.logTextEdit.setPlainText("\n".join(call.log))
        if not call.finished:
            self._show_state(getattr(call, "text", ""), getattr(call, "fraction", None))
            return
        self.timer.stop()
        self._show_state("Stopped" if call.cancelled else "Failed" if call.error else "Done")
        if call.error is None:
            self._try(self._take_result)
            return
        self.logic.clear()
        if not call.cancelled:
            slicer.util.errorDisplay(call.error)

    def _take_result(self) -> None:
        if isinstance(self.logic.call, prediction.Prediction):
            segmentation, findings = self.logic.load()
            self.ui.segmentationSelector.setCurrentNode(segmentation)
            self._show_findings(findings)
            return
        self.models = models.parse(self.logic.call.output)
        self.ui.modelComboBox.clear()
        for model in self.models:
            self.ui.modelComboBox.addItem(f"{model.title} ({model.name})")
        self.on_model_changed()
        if not self.models:
            self._show_state("medseg has no model yet: train or install one")

    def _show_state(self, text: str, fraction=None) -> None:
        runs = self.logic.runs
        self.ui.statusLabel.setText(text)
        self.ui.progressBar.setVisible(runs)
        self.ui.progressBar.setMaximum(0 if fraction is None else 100)  # 0: busy
        self.ui.progressBar.setValue(int(100 * (fraction or 0)))
        self.ui.runButton.setEnabled(not runs)
        self.ui.refreshButton.setEnabled(not runs)
        self.ui.cancelButton.setEnabled(runs)

    def _show_findings(self, findings) -> None:
        colour = VERDICT_COLOURS.get(findings.verdict, "#000000")
        self.ui.verdictLabel.setText(findings.summary)
        self.ui.verdictLabel.setStyleSheet(f"border-left: 6px solid {colour}; padding-left: 6px")
        table = self.ui.resultsTable
        table.setColumnCount(len(report.COLUMNS))
        table.setHorizontalHeaderLabels(list(report.COLUMNS))
        table.setRowCount(len(findings.rows))
        for place, row in enumerate(findings.rows):
            for column, cell in enumerate(row.cells):
                item = qt.QTableWidgetItem(cell)
                if column == 0 and row.colour:
                    pixmap = qt.QPixmap(12, 12)
                    pixmap.fill(qt.QColor(row.colour))
                    item.setIcon(qt.QIcon(pixmap))
                table.setItem(place, column, item)
        table.resizeColumnsToContents()

    def _propose(self, folder: str) -> None:
        self.ui.caseLineEdit.setText(corrections.next_name(Path(folder)))

    def _model(self):
        place = self.ui.modelComboBox.currentIndex
        return self.models[place] if 0 <= place < len(self.models) else None

    def _chosen(self) -> dict:
        return {name: selector.currentNode() for name, selector in self.selectors.items()}

    def _try(self, action) -> bool:
        """Do something, and show why if it cannot be done."""
        try:
            action()
        except (OSError, ValueError, RuntimeError) as error:
            slicer.util.errorDisplay(str(error))
            return False
        return True


class MedSegTest(ScriptedLoadableModuleTest):
    """What can be tested inside Slicer without a model: the panel, the codes, a correction."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all."""
        self.setUp()
        self.test_terminology_is_known()
        self.setUp()
        self.test_a_correction_is_written()

    def test_terminology_is_known(self) -> None:
        """The codes of medseg's tasks are offered."""
        load_terminology()
        contexts = vtk.vtkStringArray()
        slicer.modules.terminologies.logic().GetLoadedTerminologyNames(contexts)
        names = [contexts.GetValue(place) for place in range(contexts.GetNumberOfValues())]
        self.assertIn("medseg", names)

    def test_a_correction_is_written(self) -> None:
        """A segmentation and its image become a case."""
        import SampleData

        volume = SampleData.downloadSample("MRHead")
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segmentation.GetSegmentation().AddEmptySegment("anterior")
        with tempfile.TemporaryDirectory() as folder:
            MedSegLogic().send(segmentation, {"mr": volume}, Path(folder), "case_001")
            self.assertEqual(corrections.names(Path(folder)), ("case_001",))


def _volumes() -> list:
    return list(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))


def _active_volume():
    selection = slicer.app.applicationLogic().GetSelectionNode()
    return selection.GetActiveVolumeID() if selection is not None else None


def _identifiers(volumes: dict) -> dict:
    return {name: volume.GetID() if volume else None for name, volume in volumes.items()}
