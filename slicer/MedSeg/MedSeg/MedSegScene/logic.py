"""What joins medseg and the scene: volumes out, segmentations in, corrections back."""

import shutil
import tempfile
from pathlib import Path

import qt
import slicer
from MedSegLib import corrections, environment, models, prediction, report
from MedSegLib.call import Call
from MedSegLib.process import SystemProcess
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

PROGRAM_SETTING = "MedSeg/Program"
IMAGE_ROLE = "MedSeg.Image."
IMAGE_STORAGE = "vtkMRMLVolumeArchetypeStorageNode"
LABEL_STORAGE = "vtkMRMLSegmentationStorageNode"


class MedSegLogic(ScriptedLoadableModuleLogic):
    """Runs medseg and carries data between it and the scene.

    Attributes:
        call: The call of medseg that runs, or ran last.
    """

    def __init__(self, launch=SystemProcess) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.call = None
        self._launch = launch
        self._folder = None
        self._job = None

    @property
    def runs(self) -> bool:
        """Whether medseg runs now."""
        return self.call is not None and not self.call.finished

    def environment(self) -> dict:
        """Return the environment that medseg runs in."""
        folders = [slicer.app.slicerHome, slicer.app.extensionsInstallPath]
        return environment.cleaned(slicer.util.startupEnvironment(), folders)

    def program(self) -> str:
        """Return the medseg that the user chose, or the one that is found."""
        chosen = qt.QSettings().value(PROGRAM_SETTING)
        return chosen or environment.find_program(self.environment(), Path.home()) or ""

    def list_models(self, program: str) -> None:
        """Ask medseg for its models; `call.output` tells when it has finished.

        Raises:
            ValueError: No program is chosen, or medseg runs already.
            OSError: It does not start.
        """
        self.call = Call(self._start(program, models.LIST))

    def predict(self, program: str, model, volumes: dict, device: str) -> None:
        """Write the volumes and start medseg.

        Raises:
            ValueError: No program is chosen, medseg runs already, or the volumes are transformed
                differently.
            OSError: It does not start, or the disk is full.
            RuntimeError: Slicer cannot write a volume.
        """
        self._require_idle(program)
        _require_one_transform(volumes.values())
        self.clear()
        self._folder = Path(tempfile.mkdtemp(prefix="medseg-", dir=slicer.app.temporaryPath))
        files = {name: prediction.scan_file(self._folder, name) for name in volumes}
        for name, volume in volumes.items():
            _save(volume, files[name], IMAGE_STORAGE)
        command = prediction.arguments(model, files, self._folder, device=device)
        self.call = prediction.Prediction(self._start(program, command))
        self._job = (model, volumes)

    def load(self):
        """Load the segmentation that medseg wrote, with 3D, and return it with its findings.

        Raises:
            ValueError: medseg left no report.
            RuntimeError: Slicer cannot load it.
        """
        model, volumes = self._job
        output = self.call.output_file
        first = next(iter(volumes.values()))
        segmentation = slicer.util.loadSegmentation(str(output))
        slicer.mrmlScene.RemoveNode(
            segmentation.GetStorageNode()
        )  # its file goes: "Save" asks anew
        segmentation.SetName(f"{first.GetName()} {model.name}")
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(first)
        segmentation.SetAndObserveTransformNodeID(first.GetTransformNodeID())
        for name, volume in volumes.items():
            segmentation.SetNodeReferenceID(IMAGE_ROLE + name, volume.GetID())
        segmentation.CreateDefaultDisplayNodes()
        segmentation.CreateClosedSurfaceRepresentation()
        segmentation.GetDisplayNode().SetVisibility3D(1)
        findings = report.read(self._folder, output, model)
        self.clear()
        return segmentation, findings

    def images_of(self, segmentation) -> dict:
        """Return the volumes that a segmentation was made of, by channel; none if not by medseg."""
        count = segmentation.GetNumberOfNodeReferenceRoles()
        roles = [segmentation.GetNthNodeReferenceRole(place) for place in range(count)]
        named = {role: segmentation.GetNodeReference(role) for role in roles}
        return {
            role[len(IMAGE_ROLE) :]: volume
            for role, volume in named.items()
            if role.startswith(IMAGE_ROLE) and volume is not None
        }

    def send(self, segmentation, images: dict, folder: Path, case: str) -> None:
        """Write a segmentation and its images as a case that training reads.

        Regions that are made of labels are left out: they follow from the labels.

        Raises:
            ValueError: The name or the folder cannot be used, or the segmentation is transformed
                otherwise than its images.
            OSError: The disk is full, or the folder is not writable.
            RuntimeError: Slicer cannot write a file.
        """
        _require_one_transform([segmentation, *images.values()])
        place = corrections.place(folder, case, list(images))
        first = next(iter(images.values()))
        for name, volume in images.items():
            _save(volume, place.images[name], IMAGE_STORAGE)
        labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        try:
            # not labels.Copy(segmentation): the two would share storage and display
            labels.GetSegmentation().DeepCopy(segmentation.GetSegmentation())
            labels.SetAndObserveTransformNodeID(segmentation.GetTransformNodeID())
            labels.SetReferenceImageGeometryParameterFromVolumeNode(first)
            _drop_regions(labels.GetSegmentation())
            _save(labels, place.label, LABEL_STORAGE)
        finally:
            slicer.mrmlScene.RemoveNode(labels)
        corrections.record(place)

    def cancel(self) -> None:
        """Ask medseg to stop; the second time, end it."""
        if self.runs:
            self.call.cancel(at_once=self.call.cancelled)

    def clear(self) -> None:
        """Remove what was written for medseg."""
        if self._folder is not None:
            shutil.rmtree(str(self._folder), ignore_errors=True)
            self._folder = None

    def close(self) -> None:
        """End medseg if it runs, and remove what was written for it."""
        if self.runs:
            self.call.cancel(at_once=True)
        self.clear()

    def _start(self, program: str, arguments):
        self._require_idle(program)
        return self._launch([program, *arguments], self.environment())

    def _require_idle(self, program: str) -> None:
        if self.runs:
            raise ValueError("medseg runs already. Wait until it has finished, or cancel it.")
        if not program:
            raise ValueError("Choose where medseg is, under 'Installation'.")


def _drop_regions(segmentation) -> None:
    count = segmentation.GetNumberOfSegments()
    names = [segmentation.GetNthSegmentID(place) for place in range(count)]
    for name in names:
        if name.startswith(corrections.REGION):
            segmentation.RemoveSegment(name)


def _require_one_transform(nodes) -> None:
    """Refuse nodes that lie under several transforms: files hold what lies below a transform."""
    if len({node.GetTransformNodeID() for node in nodes}) > 1:
        raise ValueError(
            "The volumes and the segmentation lie under different transforms. Put all under one, or"
            " harden them, in the module 'Transforms'."
        )


def _save(node, path: Path, kind: str) -> None:
    """Write a node by a storage of our own: the node's says where the user's "Save" writes it."""
    storage = slicer.mrmlScene.CreateNodeByClass(kind)
    try:
        storage.SetFileName(str(path))
        if not storage.WriteData(node):
            raise RuntimeError(f"{path} was not written. Is the disk full?")
    finally:
        storage.UnRegister(None)
