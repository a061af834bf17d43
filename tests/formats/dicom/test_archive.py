import shutil
import zipfile
from types import SimpleNamespace

import pytest

from medseg import formats
from medseg.errors import ImageError
from medseg.formats.dicom.archive import unpacked


def packed(path, **entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_names_cannot_leave_the_folder_and_nothing_is_left_behind(tmp_path):
    path = packed(
        tmp_path / "a.zip", **{"../../evil": b"1", "/b/c.dcm": b"2", "d\\..\\c.dcm": b"3"}
    )
    with unpacked(path) as folder:
        names = sorted(file.name for file in folder.iterdir())
        assert names == ["000000_evil", "000001_c.dcm", "000002_c.dcm"]
    assert not folder.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


def test_an_error_names_the_archive_and_the_file_in_it(series, tmp_path):
    path = packed(tmp_path / "a.zip", **{"x/b.dcm": (series / "b.dcm").read_bytes()[:-20]})
    with pytest.raises(ImageError, match=r"a\.zip \(b\.dcm\): is damaged"):
        formats.read(path)
    with pytest.raises(ImageError, match=r"a\.zip: holds no DICOM slices"):
        formats.read(packed(tmp_path / "a.zip", note=b"read me"))


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_a_damaged_archive_is_refused(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ImageError, match="is a damaged zip file"):
        formats.read(tmp_path / "a.zip")


def test_a_flipped_bit_is_noticed(series, tmp_path):
    path = packed(tmp_path / "a.zip", **{"b.dcm": (series / "b.dcm").read_bytes()})
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(content)
    with pytest.raises(ImageError, match="is a damaged zip file"):
        formats.read(path)


def test_what_does_not_fit_the_disk_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3))
    with pytest.raises(ImageError, match="more than is free"):
        formats.read(packed(tmp_path / "a.zip", a=b"four"))


def test_an_encrypted_archive_is_refused(tmp_path):
    path = packed(tmp_path / "a.zip", a=b"secret")
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(ImageError, match="is encrypted"):
        formats.read(path)
