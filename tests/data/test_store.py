import numpy as np
import pytest

from medseg.data import store
from medseg.data.cases import Case
from medseg.errors import DataError


@pytest.fixture
def make_case(tmp_path, put, rng):
    """Writes a scan and a label map with a box of each of the given labels."""

    def made(name, labels=(1, 2)):
        label_map = np.zeros((6, 7, 8), dtype=np.uint8)
        for place, label in enumerate(labels):
            label_map[2 * place : 2 * place + 2, 1:3, 4:7] = label
        image = put(tmp_path / "scans" / f"{name}.nii", rng.uniform(1, 2, size=(6, 7, 8)))
        return Case(name, (image,), put(tmp_path / "labels" / f"{name}.nii.gz", label_map))

    return made


@pytest.fixture
def build(tmp_path, hippocampus_task, make_plan):
    """Builds a store; returns it and the names announced."""

    def done(*cases):
        announced = []
        entries = store.build(
            tmp_path / "store", cases, hippocampus_task, make_plan(), on_case=announced.append
        )
        return entries, announced

    return done


def test_a_stored_case_holds_its_image_its_labels_and_where_they_are(build, make_case):
    (entry,), announced = build(make_case("a"))
    assert announced == ["a"]
    assert entry.image.shape == (1, 6, 7, 8)
    assert entry.image.mean() == pytest.approx(0, abs=1e-6)
    assert entry.labels.dtype == np.uint8
    assert [len(voxels) for voxels in entry.centres] == [12, 12]
    for label, voxels in enumerate(entry.centres, start=1):
        assert (entry.labels[tuple(voxels.T)] == label).all()


def test_arrays_stay_on_disk_and_cannot_be_changed(build, make_case):
    (entry,), _ = build(make_case("a"))
    for array in (entry.image, entry.labels):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable


def test_labels_that_a_case_lacks_have_no_centres(build, make_case):
    (second, none), _ = build(make_case("second", labels=(2,)), make_case("none", labels=()))
    assert [len(voxels) for voxels in second.centres] == [12]
    assert none.centres == []


def test_centres_of_a_large_label_are_thinned_evenly(build, make_case, monkeypatch):
    monkeypatch.setattr(store, "CENTRES_PER_LABEL", 5)
    (entry,), _ = build(make_case("a"))
    voxels = np.argwhere(entry.labels == 2)
    np.testing.assert_array_equal(entry.centres[1], voxels[[0, 3, 6, 9]])


def test_a_store_whose_making_was_interrupted_is_continued(build, make_case, monkeypatch):
    cases = [make_case(name) for name in "abc"]
    asked = []
    read_image = store.read_image

    def interrupted(case, task):
        asked.append(case.name)
        if asked == ["a", "b"]:
            raise KeyboardInterrupt
        return read_image(case, task)

    monkeypatch.setattr(store, "read_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(*cases)
    _, announced = build(*cases)
    assert announced == ["a", "b", "c"]
    assert asked == ["a", "b", "b", "c"]  # what was done is not done again


def test_a_case_without_its_last_file_is_prepared_again(build, make_case, tmp_path):
    case = make_case("a")
    build(case)
    (tmp_path / "store" / "a.centres.npy").unlink()
    (tmp_path / "store" / "a.labels.npy").write_bytes(b"half")
    (entry,), _ = build(case)
    assert entry.labels.shape == (6, 7, 8)


def test_a_case_that_cannot_be_used_is_named(build, make_case):
    case = make_case("a", labels=(7,))
    with pytest.raises(DataError, match=r"a\.nii\.gz: holds the value 7"):
        build(case)
