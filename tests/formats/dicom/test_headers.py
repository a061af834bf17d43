import pytest

from medseg.errors import ImageError
from medseg.formats.dicom import headers
from medseg.formats.dicom.headers import Header

PLACED = {"position": "1\\2\\3", "directions": "1\\0\\0\\0\\1\\0", "spacing": "0.5\\0.75"}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ITK, while it loads


def test_a_header_has_the_place_but_no_patient(series):
    header = headers.read(series / "a.dcm")
    assert header.is_placed
    assert header.shape == (5, 4, 1)
    assert "Nobody" not in str(header.fields)
    assert header.fields["modality"] == "CT"


def test_the_spacing_is_between_rows_first(tmp_path):
    found = headers.placed_slice(Header(tmp_path, PLACED, (5, 4, 1)))
    assert found.in_plane.tolist() == [[0.75, 0, 0], [0, 0.5, 0]]
    assert found.position.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "change", [{"position": "1\\2"}, {"spacing": "a\\b"}, {"directions": "nan" + "\\0" * 5}]
)
def test_a_place_that_is_no_place_is_refused(tmp_path, change):
    with pytest.raises(ImageError, match="not made of numbers"):
        headers.placed_slice(Header(tmp_path, {**PLACED, **change}, (5, 4, 1)))


def test_colours_are_refused(tmp_path):
    with pytest.raises(ImageError, match="holds colours"):
        headers.placed_slice(Header(tmp_path, {**PLACED, "samples": "3"}, (5, 4, 1)))


def test_a_file_that_is_no_image_has_no_fields(tmp_path):
    (tmp_path / "notes.txt").write_text("read me")
    assert headers.read(tmp_path / "notes.txt").shape == (0, 0, 0)
