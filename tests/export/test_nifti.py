from xml.etree import ElementTree

import nibabel
import numpy as np
import pytest
import SimpleITK

from medseg import formats
from medseg.export import nifti
from medseg.segmentation import Segmentation


def test_the_header_of_the_scan_comes_back(hippocampus_task, tmp_path):
    affine = np.diag([1.4, 1.4, 10.0, 1.0])
    scan = nibabel.Nifti1Image(np.zeros((4, 5, 6), dtype=np.float32), affine)
    scan.set_sform(affine, code=4)
    scan.set_qform(affine, code=1)
    scan.to_filename(tmp_path / "scan.nii.gz")
    grid = formats.read(tmp_path / "scan.nii.gz").grid
    label_map = np.ones((4, 5, 6), dtype=np.int64)
    nifti.write(tmp_path / "found.nii.gz", Segmentation(label_map, grid, hippocampus_task))
    found = nibabel.load(tmp_path / "found.nii.gz")
    assert found.get_data_dtype() == np.uint8
    assert int(found.header["sform_code"]) == 4
    assert int(found.header["qform_code"]) == 1
    assert np.array_equal(found.affine, nibabel.load(tmp_path / "scan.nii.gz").affine)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_names_and_colours_stand_in_the_header(kind, hippocampus_task, tmp_path):
    scan = kind(np.zeros((4, 5, 6), dtype=np.float32), np.eye(4))
    scan.to_filename(tmp_path / "scan.nii.gz")
    label_map = np.arange(120).reshape(4, 5, 6) % 3
    grid = formats.read(tmp_path / "scan.nii.gz").grid
    nifti.write(tmp_path / "found.nii.gz", Segmentation(label_map, grid, hippocampus_task))
    found = nibabel.load(tmp_path / "found.nii.gz")
    assert np.array_equal(np.asarray(found.dataobj), label_map)
    if kind is nibabel.Nifti1Image:  # SimpleITK reads no other
        image = SimpleITK.ReadImage(str(tmp_path / "found.nii.gz"))
        assert np.array_equal(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), label_map)
    (extension,) = found.header.extensions
    assert extension.get_code() == 0
    table = ElementTree.fromstring(extension.get_content().rstrip(b"\0"))
    assert table.tag == "CaretExtension"
    labels = {label.text: label.attrib for label in table.iter("Label")}
    assert list(labels) == ["anterior", "posterior"]
    assert labels["posterior"]["Key"] == "2"
    colour = [float(labels["posterior"][part]) for part in ("Red", "Green", "Blue", "Alpha")]
    assert colour == pytest.approx([48 / 255, 128 / 255, 192 / 255, 1], abs=1e-6)
