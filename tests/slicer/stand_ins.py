"""Stand-ins for 3D Slicer and Qt: as much of them as the module uses."""

import json
import types
import unittest
from pathlib import Path
from xml.etree import ElementTree

from medseg.resources import folder

EXTENSION = folder("configs").parent / "slicer" / "MedSeg"
MODULE = EXTENSION / "MedSeg"
PANEL = MODULE / "Resources" / "UI" / "MedSeg.ui"


def panel_names():
    return {widget.get("name") for widget in ElementTree.parse(PANEL).iter("widget")} - {None}


class Process:
    """A program that says what it was told to say, a part for each look at it."""

    def __init__(self, *parts, code=0):
        self.parts = list(parts)
        self.code = code
        self.stops = []

    def lines(self):
        return self.parts.pop(0) if self.parts else []

    def exit_code(self):
        return None if len(self.parts) > 1 else self.code

    def stop(self, *, at_once=False):
        self.stops.append(at_once)
        self.parts, self.code = [], 130


class Node:
    """A volume or segmentation of the scene."""

    def __init__(self, identifier, name):
        self.identifier, self.name = identifier, name
        self.references = {}
        self.calls = []
        self.segments = []
        self.transform = None

    def GetID(self):
        return self.identifier

    def GetName(self):
        return self.name

    def SetName(self, name):
        self.name = name

    def GetTransformNodeID(self):
        return self.transform

    def SetAndObserveTransformNodeID(self, identifier):
        self.transform = identifier
        self.calls.append(("SetAndObserveTransformNodeID", identifier))

    def SetNodeReferenceID(self, role, identifier):
        self.references[role] = identifier

    def GetNumberOfNodeReferenceRoles(self):
        return len(self.references)

    def GetNthNodeReferenceRole(self, place):
        return list(self.references)[place]

    def GetNodeReference(self, role):
        return self.scene[self.references[role]]

    def DeepCopy(self, other):
        self.segments = list(other.segments)

    def GetSegmentation(self):
        return self

    def GetNumberOfSegments(self):
        return len(self.segments)

    def GetNthSegmentID(self, place):
        return self.segments[place]

    def RemoveSegment(self, name):
        self.segments.remove(name)

    def GetDisplayNode(self):
        return self

    def GetStorageNode(self):
        return self.storage

    def __getattr__(self, name):
        if not name.startswith(("Set", "Create")):
            raise AttributeError(name)
        return lambda *values: self.calls.append((name, *values))


class Storage:
    """What writes a node; one that was not released stays in memory."""

    def __init__(self, scene, kind):
        self.scene, self.kind, self.path = scene, kind, None
        scene.storages.append(self)

    def SetFileName(self, path):
        self.path = Path(path)

    def WriteData(self, node):
        kinds = {
            "vtkMRMLVolumeArchetypeStorageNode": "vtkMRMLScalarVolumeNode",
            "vtkMRMLSegmentationStorageNode": "vtkMRMLSegmentationNode",
        }
        assert node.identifier.startswith(kinds[self.kind])
        self.scene.saved[self.path.name] = node
        if self.scene.writes:
            self.path.write_text(node.name, encoding="utf-8")
        return int(self.scene.writes)

    def UnRegister(self, _owner):
        self.scene.storages.remove(self)


class Widget:
    """Any widget: it keeps what it was given and calls who is connected."""

    def __init__(self):
        self.slots, self.items, self.rows, self.cells = {}, [], [], {}
        self.text = self.currentPath = self.currentText = ""
        self.currentIndex, self.node = -1, None
        self.shown = {}

    def connect(self, signal, slot):
        self.slots[signal] = slot

    def click(self):
        self.slots["clicked()"]()

    def addItem(self, item):
        self.items.append(item)
        self.currentIndex = 0

    def clear(self):
        self.items, self.currentIndex = [], -1

    def setText(self, text):
        self.text = text

    def layout(self):
        return self

    def hide(self):
        self.shown["hidden"] = True

    def deleteLater(self):
        self.shown["deleted"] = True

    def addRow(self, label, widget):
        self.rows.append((label, widget))

    def currentNode(self):
        return self.node

    def setCurrentNode(self, node):
        self.node = node

    def setCurrentNodeID(self, identifier):
        self.node = Node.scene.get(identifier)

    def setItem(self, row, column, item):
        self.cells[row, column] = item

    def start(self):
        self.shown["runs"] = True

    def stop(self):
        self.shown["runs"] = False

    def addWidget(self, widget):
        self.items.append(widget)

    def __getattr__(self, name):
        if not name.startswith(("set", "resize")):
            raise AttributeError(name)
        return lambda *values: self.shown.__setitem__(name, values)


class Item(Widget):
    """A cell of a table."""

    def __init__(self, text=""):
        super().__init__()
        self.text = text


def settings():
    """Return a class of settings that lasts as long as a test."""
    kept = {}

    class Settings:
        def value(self, name):
            return kept.get(name)

        def setValue(self, name, value):
            kept[name] = value

    return Settings


def _qt():
    painted = types.SimpleNamespace(fill=lambda colour: None)
    return types.SimpleNamespace(
        QSettings=settings(),
        QTimer=Widget,
        QWidget=Widget,
        QFormLayout=lambda widget: widget,
        QTableWidgetItem=Item,
        QPixmap=lambda width, height: painted,
        QColor=str,
        QIcon=lambda pixmap: pixmap,
    )


class _Parent:
    def __init__(self, parent=None):
        self.parent = parent
        self.layout = Widget()

    def setup(self):
        pass

    def resourcePath(self, name):
        path = MODULE / "Resources" / name
        assert path.is_file(), path
        return str(path)


def _bases():
    module = types.ModuleType("slicer.ScriptedLoadableModule")
    for name in ("", "Widget", "Logic"):
        setattr(module, f"ScriptedLoadableModule{name}", type(f"Base{name}", (_Parent,), {}))
    module.ScriptedLoadableModuleTest = unittest.TestCase
    return module


class Slicer(types.ModuleType):
    """The application: a scene, its dialogs, and what was saved and loaded."""

    def __init__(self, temporary):
        super().__init__("slicer")
        self.ScriptedLoadableModule = _bases()
        self.nodes = {}
        Node.scene = self.nodes
        self.errors, self.saved, self.terminologies, self.started = [], {}, [], []
        self.storages = []
        self.yes, self.writes = True, True
        self.qMRMLNodeComboBox = Widget
        self.app = types.SimpleNamespace(
            slicerHome="/opt/Slicer",
            extensionsInstallPath="/opt/Extensions",
            temporaryPath=str(temporary),
            connect=lambda signal, slot: self.started.append((signal, slot)),
            applicationLogic=lambda: types.SimpleNamespace(GetSelectionNode=lambda: self),
        )
        self.active = None
        self.mrmlScene = self
        terms = types.SimpleNamespace(LoadTerminologyFromFile=self.terminologies.append)
        self.modules = types.SimpleNamespace(
            terminologies=types.SimpleNamespace(logic=lambda: terms)
        )
        self.panel = types.SimpleNamespace(**{name: Widget() for name in panel_names()})
        self.util = types.SimpleNamespace(
            loadUI=lambda path: Widget(),
            childWidgetVariables=lambda panel: self.panel,
            startupEnvironment=lambda: {"PATH": "/usr/bin", "PYTHONHOME": "/opt/Slicer/python"},
            getNodesByClass=lambda kind: [n for n in self.nodes.values() if kind in n.identifier],
            errorDisplay=self.errors.append,
            confirmYesNoDisplay=lambda question: self.yes,
            loadSegmentation=self._load,
        )

    def GetActiveVolumeID(self):
        return self.active

    def AddNewNodeByClass(self, kind):
        return self.add(kind, "new")

    def RemoveNode(self, node):
        del self.nodes[node.identifier]

    def add(self, kind, name):
        node = Node(f"{kind}{len(self.nodes) + 1}", name)
        self.nodes[node.identifier] = node
        return node

    def volume(self, name):
        return self.add("vtkMRMLScalarVolumeNode", name)

    def CreateNodeByClass(self, kind):
        return Storage(self, kind)

    def _load(self, path):
        node = self.add("vtkMRMLSegmentationNode", "loaded")
        node.path = path
        node.storage = self.add("vtkMRMLSegmentationStorageNode", "its file")
        node.segments = ["anterior", "posterior", "region.whole"]
        return node


def stub_modules(slicer):
    """Return what Slicer's Python offers beside the standard library, by name."""
    return {
        "slicer": slicer,
        "slicer.ScriptedLoadableModule": slicer.ScriptedLoadableModule,
        "qt": _qt(),
        "vtk": types.SimpleNamespace(),
        "ctk": types.SimpleNamespace(),
    }


def model_document(*channels, name="hippocampus-swin_unetr-0a"):
    spellings = {"t1ce": ["t1ce", "t1c", "t1gd", "t1post"], "flair": ["flair", "t2flair", "t2f"]}
    labels = {"anterior": "#e0a030", "posterior": "#3080c0"}
    return {
        "name": name,
        "title": "Anterior and posterior hippocampus",
        "channels": [
            {"name": channel, "modality": "mr", "spellings": spellings.get(channel, [channel])}
            for channel in channels
        ],
        "labels": [
            {"name": label, "title": label.capitalize(), "value": value, "colour": colour}
            for value, (label, colour) in enumerate(labels.items(), start=1)
        ],
    }


def model_list(*documents):
    return json.dumps(list(documents))
