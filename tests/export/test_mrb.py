"""The scene as XML and by its parts; no test opens it in 3D Slicer."""

import zipfile
from pathlib import Path
from xml.etree import ElementTree

import nibabel
import numpy as np
import pytest
import slicerio

from medseg.export import Reference, Settings, mrb
from medseg.segmentation import Segmentation
from medseg.volume import Grid

SHAPE = (7, 9, 5)
AFFINE = np.array([[0, -0.5, 0, 10.0], [1.5, 0, 0, -20.0], [0, 0, -2.5, 33.25], [0, 0, 0, 1.0]])


@pytest.fixture
def scene(tmp_path, rng, put):
    """Write a scene, unpack it, and return its folder and what went into it."""

    def written(task, channels):
        voxels = rng.integers(-1000, 1000, (channels, *SHAPE)).astype(np.int16)
        images = tuple(
            put(tmp_path / f"Doe_{number}.nii.gz", channel, AFFINE)
            for number, channel in enumerate(voxels)
        )
        label_map = rng.integers(0, 3, SHAPE).astype(np.uint8)
        settings = Settings(Reference(images) if images else None)
        mrb.write(tmp_path / "a.mrb", Segmentation(label_map, Grid(SHAPE, AFFINE), task), settings)
        with zipfile.ZipFile(tmp_path / "a.mrb") as packed:
            assert packed.testzip() is None
            packed.extractall(tmp_path / "unpacked")
        return tmp_path / "unpacked" / "medseg", voxels, label_map

    return written


def nodes(folder):
    root = ElementTree.parse(folder / "medseg.mrml").getroot()
    assert root.tag == "MRML"
    return {node.get("id"): node for node in root}


def test_the_parts_are_the_scan_and_the_segmentation(scene, phantom_task):
    folder, voxels, label_map = scene(phantom_task, channels=2)
    for name, channel in zip(("first", "second"), voxels, strict=True):
        image = nibabel.load(folder / "Data" / f"{name}.nii.gz")
        assert np.array_equal(np.asarray(image.dataobj), channel)
        assert np.array_equal(image.affine, AFFINE)
    found = slicerio.read_segmentation(str(folder / "Data" / "segmentation.seg.nrrd"))
    assert np.array_equal(found["voxels"], label_map)
    assert found["ijkToLPS"] == pytest.approx(np.diag([-1, -1, 1, 1]) @ AFFINE)
    assert b"Closed surface" in (folder / "Data" / "segmentation.seg.nrrd").read_bytes()


def test_every_reference_in_the_scene_leads_somewhere(scene, phantom_task):
    folder, *_ = scene(phantom_task, channels=2)
    found = nodes(folder)
    assert len(found) == len(list(ElementTree.parse(folder / "medseg.mrml").getroot()))
    files = {node.get("fileName") for node in found.values()} - {None}
    assert {(folder / name).is_file() for name in files} == {True}
    assert {path.relative_to(folder).as_posix() for path in folder.glob("Data/*")} == files
    for node in found.values():
        for role in ("storageNodeRef", "displayNodeRef", "backgroundVolumeID"):
            assert node.get(role) is None or node.get(role) in found


def test_the_segmentation_lies_on_the_first_channel_which_is_shown(scene, phantom_task):
    found = nodes(scene(phantom_task, channels=2)[0])
    segmentation = found["vtkMRMLSegmentationNode1"]
    shown = "vtkMRMLScalarVolumeNode1"
    assert found[shown].get("name") == "first"
    assert segmentation.get("references") == f"referenceImageGeometryRef:{shown};"
    slices = [node for node in found.values() if node.tag == "SliceComposite"]
    assert {node.get("singletonTag") for node in slices} == {"Red", "Green", "Yellow"}
    assert {node.get("backgroundVolumeID") for node in slices} == {shown}
    assert {node.get("id") for node in slices} == {
        f"vtkMRMLSliceCompositeNode{node.get('singletonTag')}" for node in slices
    }


def test_no_name_of_a_file_gets_into_the_scene(scene, hippocampus_task):
    folder, *_ = scene(hippocampus_task, channels=2)  # two files where the task has one channel
    parts = sorted(path.name for path in Path(folder, "Data").iterdir())
    assert parts == ["channel_1.nii.gz", "channel_2.nii.gz", "segmentation.seg.nrrd"]
    assert "Doe" not in (folder / "medseg.mrml").read_text()


def test_without_a_scan_there_is_the_segmentation_alone(scene, hippocampus_task):
    folder, *_ = scene(hippocampus_task, channels=0)
    assert not [node for node in nodes(folder).values() if node.tag == "Volume"]
    assert [path.name for path in Path(folder, "Data").iterdir()] == ["segmentation.seg.nrrd"]
