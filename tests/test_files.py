import errno
import hashlib
import os

import pytest

from medseg import files
from medseg.errors import OutputError


def test_text_is_written_whole_and_folders_are_made(tmp_path):
    files.write_text(tmp_path / "new" / "folder" / "a.txt", "ä\n")
    assert (tmp_path / "new/folder/a.txt").read_bytes() == b"\xc3\xa4\n"
    assert [path.name for path in (tmp_path / "new/folder").iterdir()] == ["a.txt"]


def fail(temporary):
    temporary.write_text("half")
    raise RuntimeError


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("earlier")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        fail(temporary)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_name_keeps_the_ending_and_is_hidden(tmp_path):
    with files.replacing(tmp_path / "a.nii.gz") as temporary:
        temporary.touch()
        assert temporary.name.endswith(".nii.gz")
        assert temporary.name.startswith(".")
        assert temporary.parent == tmp_path


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "quota is used up"),
        (errno.EACCES, "Choose a folder you may write to"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "Check that the disk is there"),
    ],
)
def test_the_system_s_refusals_are_explained(number, remedy, tmp_path):
    with (
        pytest.raises(OutputError, match=remedy) as caught,
        files.explained(tmp_path / "a.txt"),
    ):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(str(tmp_path / "a.txt"))
    assert os.strerror(number).lower() in str(caught.value)


def test_a_file_in_the_place_of_a_folder_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="A file stands where a folder is needed"):
        files.write_text(tmp_path / "file" / "a.txt", "")
    with pytest.raises(OutputError, match="A file stands where a folder is needed"):
        files.make_folder(tmp_path / "file")


def test_a_folder_in_the_place_of_the_file_is_explained(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="A folder stands where the file should go"):
        files.write_text(tmp_path / "folder", "")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_name_too_long_is_explained(tmp_path):
    with pytest.raises(OutputError, match="Choose a shorter name"):
        files.write_text(tmp_path / ("a" * 300), "")


def test_a_folder_is_made_and_left_empty(tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_checksum_is_that_of_the_standard_library(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_an_altered_file_is_an_error_of_output(tmp_path):
    assert "Check the disk" in str(files.altered(tmp_path / "a"))


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    left = tmp_path / ".0123abcd.partial-a[1].nii.gz"
    others = [tmp_path / ".0123abcd.partial-b.nii.gz", tmp_path / "a[1].nii.gz"]
    for path in (left, *others):
        path.touch()
    files.remove_leftovers(tmp_path / "a[1].nii.gz")
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_what_was_left_in_folders_and_of_several_files_is_removed(tmp_path):
    (tmp_path / "a_stl").mkdir()
    left = [".0123abcd.partial-a.nii", "a_stl/.89abcdef.partial-liver.stl", ".0123abcd.partial-b"]
    kept = ["a_stl/liver.stl", ".0123abcd.partial-c", ".0123abcg.partial-b"]
    for name in (*left, *kept):
        (tmp_path / name).touch()
    files.remove_leftovers(*(tmp_path / name for name in ("a.nii", "b", "a_stl", "none/x")))
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == set(kept)


def test_what_reads_back_differently_is_refused_and_not_left(tmp_path, monkeypatch):
    files.write_verified(tmp_path / "a.txt", b"whole")
    assert (tmp_path / "a.txt").read_bytes() == b"whole"
    monkeypatch.setattr(files.Path, "read_bytes", lambda _: b"other")
    with pytest.raises(OutputError, match=r"b\.txt: what was written differs"):
        files.write_verified(tmp_path / "b.txt", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
