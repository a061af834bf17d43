"""Reports on real scans."""

import re

import numpy as np
import pydicom
import pytest

from medseg import formats
from medseg import task as tasks
from medseg.formats import nifti
from medseg.report import results, write

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

MOST_BYTES = 20_000_000
PUBLIC = {"SOPClassUID", "SpecificCharacterSet", "Modality", "BodyPartExamined"}
LONG = 6  # shorter texts, such as `HFS`, may stand in a page by chance


@pytest.fixture(scope="module")
def page(real_data, tmp_path_factory):
    """The page of a CT series of DICOM and a label map of its dense parts, and the series."""
    series = real_data / "readers" / "ct_organs" / "example_ct_dicom"
    folder = tmp_path_factory.mktemp("report")
    scan = formats.read(series)
    dense = np.zeros(scan.grid.shape, np.uint8)
    middle = (slice(192, 320), slice(192, 320), slice(None))
    dense[middle] = scan.voxels[0][middle] > 150
    nifti.write_label_map(folder / "a_seg.nii.gz", dense, scan.grid)
    found = results.of_file(folder / "a_seg.nii.gz", task=tasks.read("synapse"), scans=[series])
    write.one(folder / "a.html", found)
    return folder / "a.html", series, float(dense.sum()) * scan.grid.voxel_ml


def test_a_page_of_a_ct_series_is_small_and_says_what_was_done(page):
    path, _, volume_ml = page
    content = path.read_text(encoding="utf-8")
    assert path.stat().st_size < MOST_BYTES
    assert f"{volume_ml:.0f}" in content or f"{volume_ml:.1f}" in content
    assert "steps of 4 Hounsfield units" in content


def test_no_text_of_a_dicom_header_stands_in_a_page(page):
    path, series, _ = page
    content = re.sub(r"[A-Za-z0-9+/]{200,}", "", path.read_text(encoding="utf-8"))
    texts = set()
    for file in sorted(series.iterdir()):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        elements = [element for element in header if element.keyword not in PUBLIC]
        texts |= {
            str(e.value) for e in elements if e.VR in ("PN", "LO", "SH", "UI", "DA", "TM", "ST")
        }
    searched = {text for text in texts if len(text) >= LONG and len(set(text)) > 1}
    assert len(searched) > 10
    assert [text for text in searched if text in content] == []
