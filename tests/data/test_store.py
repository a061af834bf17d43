import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_what_is_stored_is_what_was_prepared(tmp_path, rng):
    image = rng.normal(size=(2, 70, 9, 33)).astype(np.float32)
    labels = rng.integers(0, 300, size=(70, 9, 33)).astype(np.uint16)
    stored = store.put(tmp_path, "a", image, labels)
    assert stored.shape == (70, 9, 33)
    np.testing.assert_array_equal(stored.image, image)
    np.testing.assert_array_equal(stored.labels, labels)
    assert stored.labels.dtype == np.uint16


def test_a_stored_case_can_be_sent_to_another_process(tmp_path):
    image, labels = np.ones((1, 4, 4, 4), np.float32), np.zeros((4, 4, 4), np.uint8)
    stored = store.put(tmp_path, "a", image, labels)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stored)).image, image)


@pytest.fixture(scope="module")
def counted_up(tmp_path_factory):
    """A stored case, its image and its labels."""
    voxels = np.arange(1, 421, dtype=np.float32).reshape(2, 5, 6, 7)
    labels = (voxels[1] % 99).astype(np.uint8)
    return store.put(tmp_path_factory.mktemp("store"), "a", voxels, labels), voxels, labels


@settings(max_examples=50, deadline=None)
@given(
    start=st.tuples(*[st.integers(-9, 8)] * 3),
    shape=st.tuples(*[st.integers(1, 8)] * 3),
)
def test_a_patch_is_a_slice_of_the_padded_case(counted_up, start, shape):
    stored, voxels, labels = counted_up
    i, j, k = (slice(16 + s, 16 + s + p) for s, p in zip(start, shape, strict=True))
    image, chosen = stored.patch(start, shape)
    np.testing.assert_array_equal(image, np.pad(voxels, [(0, 0), *[(16, 16)] * 3])[:, i, j, k])
    np.testing.assert_array_equal(chosen, np.pad(labels, 16)[i, j, k])


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


@pytest.fixture
def times_read(monkeypatch):
    """Names of the cases that were read."""
    asked = []
    read_image = store.read_image

    def counted(case, task):
        asked.append(case.name)
        return read_image(case, task)

    monkeypatch.setattr(store, "read_image", counted)
    return asked


@pytest.mark.parametrize("damage", [lambda note: note.unlink(), lambda note: note.write_text("{")])
def test_a_case_without_its_note_is_prepared_again(build, make_case, tmp_path, damage):
    case = make_case("a")
    build(case)
    damage(tmp_path / "store" / "a.case.json")
    (tmp_path / "store" / "a.labels.b2nd").write_bytes(b"half")
    (entry,), _ = build(case)
    assert entry.labels.shape == (6, 7, 8)


def test_a_case_whose_files_changed_is_prepared_again(build, make_case, times_read, put, rng):
    case = make_case("a")
    build(case)
    put(case.images[0], rng.uniform(5, 9, size=(6, 7, 8)))
    build(case)
    build(case)
    assert times_read == ["a", "a"]


def test_a_case_is_prepared_again_for_another_spacing_and_for_nothing_else(
    tmp_path, make_case, times_read, hippocampus_task, make_plan
):
    case = make_case("a")

    def built(**changes):
        store.build(
            tmp_path, (case,), hippocampus_task, make_plan(**changes), on_case=lambda _: None
        )
        return store.StoredCase("a", tmp_path).shape

    assert built() == (6, 7, 8)
    assert built(batch=7, patch=(4, 4, 4)) == (6, 7, 8)
    assert times_read == ["a"]
    assert built(spacing_mm=(2.0, 1.0, 1.0)) == (3, 7, 8)
    assert times_read == ["a", "a"]


def test_a_part_is_stored_and_whatever_is_labelled(
    tmp_path, make_case, hippocampus_task, make_plan
):
    case, plan = make_case("a", labels=(1,)), make_plan()
    (whole,) = store.build(tmp_path / "whole", (case,), hippocampus_task, plan, on_case=str)
    box = (slice(1, 5), slice(2, 7), slice(0, 6))

    def part(volume, task, asked):
        assert (volume.grid.shape, task, asked) == ((6, 7, 8), hippocampus_task, plan)
        return box

    folder = tmp_path / "part"
    (found,) = store.build(folder, (case,), hippocampus_task, plan, part, on_case=str)
    kept = (slice(0, 5), slice(1, 7), slice(0, 7))  # label 1 fills 0 to 1, 1 to 2 and 4 to 6
    np.testing.assert_array_equal(found.image, whole.image[(slice(None), *kept)])
    np.testing.assert_array_equal(found.labels, whole.labels[kept])


def test_what_is_cut_off_depends_on_the_patch(
    tmp_path, make_case, times_read, hippocampus_task, make_plan
):
    case, task = make_case("a"), hippocampus_task.model_copy(update={"outside": "zero"})
    for patch in ((4, 4, 4), (4, 4, 4), (6, 4, 4)):
        store.build(tmp_path, (case,), task, make_plan(patch=patch), on_case=str)
    assert times_read == ["a", "a"]


def test_a_case_that_fails_is_not_taken_for_the_one_that_was_there(build, make_case, tmp_path):
    build(make_case("a"))
    with pytest.raises(DataError):
        build(make_case("a", labels=(7,)))
    assert not (tmp_path / "store" / "a.case.json").exists()


def test_a_case_that_cannot_be_used_is_named(build, make_case):
    case = make_case("a", labels=(7,))
    with pytest.raises(DataError, match=r"a\.nii\.gz: holds the value 7"):
        build(case)
