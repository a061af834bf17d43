import nibabel
import numpy as np

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
