import hashlib
import io
import pickle
import zipfile

import pytest
import torch

from medseg import bundle as bundles
from medseg import bundle_archive
from medseg.errors import ModelError

MANIFEST = "manifest.json"


@pytest.fixture(scope="session")
def bundle(hippocampus_task, make_plan, tmp_path_factory):
    """A small bundle; its weights need no network here."""
    folder = tmp_path_factory.mktemp("models") / "bundle"
    return bundles.write(folder, hippocampus_task, make_plan(), {"weight": torch.arange(9.0)})


@pytest.fixture
def archive(bundle, tmp_path):
    """The bundle in one file."""
    path = tmp_path / "model.zip"
    bundle_archive.export(bundle, path)
    return path


def sealed(path):
    """Put the hash of the whole under an archive, as an attacker could."""
    content = path.read_bytes()
    with zipfile.ZipFile(path, "a") as file:
        file.comment = bytes(71)
    content = path.read_bytes()[:-71]
    path.write_bytes(content + b"sha256:" + hashlib.sha256(content).hexdigest().encode())
    return path


def repacked(source, target, *, change=None, **extra):
    """Write the entries of `source` into `target`, changed, with more of them, and sealed."""
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
        for entry in before.infolist():
            content = before.read(entry)
            after.writestr(entry.filename, change(entry.filename, content) if change else content)
        for name, content in extra.items():
            after.writestr(name, content)
    return sealed(target)


def test_what_is_exported_is_unpacked_again(bundle, archive, tmp_path):
    bundle_archive.verify(archive)
    found = bundle_archive.unpack(archive, tmp_path / "there")
    assert (found.task, found.plan, found.hash) == (bundle.task, bundle.plan, bundle.hash)
    assert found.weights.read_bytes() == bundle.weights.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.zip", "there"]


def test_equal_bundles_give_equal_bytes(bundle, archive, tmp_path):
    bundle_archive.export(bundle, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


@pytest.mark.slow
def test_a_flip_of_any_byte_is_noticed(archive, tmp_path):
    content = bytearray(archive.read_bytes())
    flipped = tmp_path / "flipped.zip"
    for place in range(len(content)):
        content[place] ^= 1
        flipped.write_bytes(content)
        content[place] ^= 1
        with pytest.raises(ModelError, match=r"altered|is no bundle"):
            bundle_archive.verify(flipped)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_part_of_a_file_is_noticed(archive, share):
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match=r"altered|is no bundle"):
        bundle_archive.verify(archive)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.yaml", "leaves its folder"),
        ("/etc/evil", "leaves its folder"),
        ("..\\evil", "leaves its folder"),
        ("C:evil", "leaves its folder"),
        ("a/../../evil", "leaves its folder"),
        ("weights.pt", "have to be unpickled"),
        ("model.PKL", "have to be unpickled"),
        ("notes.txt", "an entry that no bundle has"),
        ("task.yaml/", "an entry that no bundle has"),
    ],
)
def test_an_entry_that_is_none_of_a_bundle_s_is_refused(archive, tmp_path, name, reason):
    bad = repacked(archive, tmp_path / "bad.zip", **{name: b"evil"})
    for use in (bundle_archive.verify, lambda path: bundle_archive.unpack(path, tmp_path / "to")):
        with pytest.raises(ModelError, match=reason):
            use(bad)
    assert not (tmp_path / "to").exists()
    assert not list(tmp_path.parent.glob("evil*"))


def torch_file():
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(1)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("weights", [pickle.dumps({"a": 1}), torch_file()])
def test_pickles_under_another_name_are_refused(archive, tmp_path, weights):
    def change(name, content):
        return weights if name == "weights.safetensors" else content

    with pytest.raises(ModelError, match="would have to be unpickled"):
        bundle_archive.verify(repacked(archive, tmp_path / "bad.zip", change=change))


@pytest.mark.parametrize("name", ["task.yaml", "weights.safetensors"])
def test_an_entry_unlike_its_hash_is_refused_and_named(archive, tmp_path, name):
    def change(entry, content):
        return content.replace(content[-2:], b"??") if entry == name else content

    with pytest.raises(ModelError, match=rf"was altered since it was made \({name}\)"):
        bundle_archive.verify(repacked(archive, tmp_path / "bad.zip", change=change))


def test_a_manifest_that_is_none_is_refused(archive, tmp_path):
    for text in (b"{", b"{}", b'{"sha256": {}}'):

        def change(name, content, text=text):
            return text if name == MANIFEST else content

        with pytest.raises(ModelError, match="altered"):
            bundle_archive.verify(repacked(archive, tmp_path / "bad.zip", change=change))


def test_a_zip_file_of_another_maker_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("task.yaml", b"name: a" * 40)
    with pytest.raises(ModelError, match="not made by 'medseg models export'"):
        bundle_archive.verify(tmp_path / "other.zip")
    with pytest.raises(ModelError, match="there is no such file"):
        bundle_archive.verify(tmp_path / "absent.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice_or_compressed_is_refused(archive, tmp_path):
    twice = repacked(archive, tmp_path / "twice.zip", **{"task.yaml": b"name: b"})
    with zipfile.ZipFile(archive) as before, zipfile.ZipFile(tmp_path / "small.zip", "w") as after:
        for entry in before.infolist():
            after.writestr(entry.filename, before.read(entry), zipfile.ZIP_DEFLATED)
    for path in (twice, sealed(tmp_path / "small.zip")):
        with pytest.raises(ModelError, match="altered"):
            bundle_archive.verify(path)


def test_weights_whose_first_byte_is_that_of_a_pickle_are_taken(
    tmp_path, hippocampus_task, make_plan
):
    # A header of 128 bytes: its length begins with the byte that every pickle begins with.
    weights = {"w" * 68: torch.zeros(1)}
    bundle = bundles.write(tmp_path / "model", hippocampus_task, make_plan(), weights)
    assert bundle.weights.read_bytes()[0] == 0x80
    bundle_archive.export(bundle, tmp_path / "model.zip")
    bundle_archive.verify(tmp_path / "model.zip")
