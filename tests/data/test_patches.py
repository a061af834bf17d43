from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from medseg.data import store
from medseg.data.patches import Failed, Patches
from medseg.data.store import StoredCase
from medseg.data.transforms import augmentation
from medseg.recipe import Augmentation

STILL = Augmentation(geometry_probability=0, mirror_probability=0, intensity_probability=0)


def put_case(folder, name, shape=(9, 8, 7), centres=()):
    """Store a case whose voxels count up from 1, so that each says where it was."""
    image = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(1, *shape)
    labels = np.zeros(shape, dtype=np.uint8)
    for label, i, j, k in centres:
        labels[i, j, k] = label
    return store.put(folder, name, image, labels)


@pytest.fixture
def make_patches(hippocampus_task):
    """Patches of the given cases; without random changes unless asked for."""

    def made(cases, patch=(4, 4, 4), augment=STILL, **changes):
        options = {"batch": 2, "foreground": 0.5, "seed": 7, "first": 0, "last": 6} | changes
        return Patches(cases, patch, augmentation(hippocampus_task, augment), **options)

    return made


@pytest.fixture
def three(tmp_path):
    """Cases with 504, 1000 and 60 voxels, the last smaller than a patch along j."""
    return [
        put_case(tmp_path, "a", centres=[(1, 0, 0, 0), (2, 8, 7, 6)]),
        put_case(tmp_path, "b", (10, 10, 10), centres=[(2, 5, 5, 5)]),
        put_case(tmp_path, "c", (5, 3, 4)),
    ]


def same(batches, others):
    return len(batches) == len(others) and all(
        torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
        for one, other in zip(batches, others, strict=True)
    )


def test_batches_have_the_types_a_loss_takes(make_patches, three):
    for batch in make_patches(three):
        assert type(batch.images) is torch.Tensor
        assert batch.images.shape == (2, 1, 4, 4, 4)
        assert batch.images.dtype == torch.float32
        assert batch.labels.shape == (2, 4, 4, 4)
        assert batch.labels.dtype == torch.int64


def test_one_seed_gives_one_sequence_and_another_another(make_patches, three):
    first = list(make_patches(three, augment=Augmentation()))
    assert same(first, list(make_patches(three, augment=Augmentation())))
    assert not same(first, list(make_patches(three, augment=Augmentation(), seed=8)))


def test_a_training_that_stopped_continues_with_the_patches_it_would_have_seen(make_patches, three):
    whole = list(make_patches(three, augment=Augmentation()))
    assert same(whole[4:], list(make_patches(three, augment=Augmentation(), first=4)))


def test_the_patches_do_not_depend_on_the_size_of_a_batch(make_patches, three):
    pairs = torch.cat([batch.images for batch in make_patches(three)])
    triples = torch.cat([batch.images for batch in make_patches(three, batch=3, last=4)])
    assert torch.equal(pairs, triples)


def test_shares_of_a_batch_hold_the_patches_of_the_whole_whoever_takes_them(make_patches, three):
    whole = list(make_patches(three, augment=Augmentation(), batch=4, last=2))
    shares = [
        list(make_patches(three, augment=Augmentation(), batch=4, last=2, share=(n, 2)))
        for n in range(2)
    ]
    for step, batch in enumerate(whole):
        for n in range(2):
            assert torch.equal(shares[n][step].images, batch.images[n::2])


def test_random_numbers_drawn_elsewhere_change_nothing(make_patches, three):
    patches = make_patches(three, augment=Augmentation())
    first = list(patches)
    np.random.default_rng().normal()
    torch.rand(3)
    assert same(first, list(patches))


@pytest.mark.slow
def test_the_patches_do_not_depend_on_the_number_of_workers(make_patches, three):
    patches = make_patches(three, augment=Augmentation(), last=5)
    loader = DataLoader(patches, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    assert same(list(patches), list(loader))


def test_workers_share_the_steps_among_them(make_patches, three, monkeypatch):
    class Worker:
        num_workers = 2

    whole = list(make_patches(three, first=1))
    for number in (0, 1):
        Worker.id = number
        monkeypatch.setattr("medseg.data.patches.get_worker_info", Worker)
        assert same(whole[number::2], list(make_patches(three, first=1)))


def test_every_case_comes_once_before_any_comes_again(make_patches, tmp_path):
    cases = [put_case(tmp_path, f"{n}", (4, 4, 4 + n)) for n in range(5)]
    laps = []

    class Recorded(StoredCase):
        def patch(self, start, shape):
            laps.append(self.name)
            return super().patch(start, shape)

    patches = make_patches([Recorded(case.name, case.folder) for case in cases])
    for number in range(20):
        patches.patch_number(number)
    rounds = [laps[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(lap) == ["0", "1", "2", "3", "4"] for lap in rounds)
    assert len({tuple(lap) for lap in rounds}) > 1


def voxel_in_middle(patch):
    """Where the middle of a patch lies in case `b`, whose voxels count up from 1."""
    return np.unravel_index(int(patch[0, 2, 2, 2]) - 1, (10, 10, 10))


def test_foreground_patches_are_centred_on_a_label_in_turn_of_labels(make_patches, tmp_path):
    # Label 1 has one voxel and label 2 has three, yet both are chosen equally often.
    inside = [(1, 3, 4, 5), (2, 6, 6, 6), (2, 6, 6, 7), (2, 6, 5, 6)]
    case = put_case(tmp_path, "b", (10, 10, 10), centres=inside)
    patches = make_patches([case], foreground=1.0)
    middles = Counter(voxel_in_middle(patches.patch_number(n)[0]) for n in range(300))
    assert set(middles) == {(i, j, k) for _, i, j, k in inside}
    assert 0.4 < middles[3, 4, 5] / 300 < 0.6


def test_the_share_of_foreground_is_kept(make_patches, tmp_path):
    case = put_case(tmp_path, "b", (10, 10, 10), centres=[(1, 5, 5, 5)])
    patches = make_patches([case], foreground=0.7)
    hits = sum(voxel_in_middle(patches.patch_number(n)[0]) == (5, 5, 5) for n in range(300))
    assert 0.62 < hits / 300 < 0.78  # the others lie on 7 x 7 x 7 places


def test_patches_that_are_not_centred_lie_anywhere_in_the_case(make_patches, tmp_path):
    case = put_case(tmp_path, "b", (6, 4, 5), centres=[(1, 0, 0, 0)])
    patches = make_patches([case], foreground=0.0)
    corners = {int(patches.patch_number(n)[0][0, 0, 0, 0]) for n in range(100)}
    # starts 0, 1, 2 along i, 0 along j, 0 and 1 along k, of steps 20, 5 and 1
    assert corners == {1, 2, 21, 22, 41, 42}


def test_a_patch_centred_near_the_border_stays_inside(make_patches, tmp_path):
    case = put_case(tmp_path, "b", (10, 10, 10), centres=[(1, 0, 9, 5)])
    image, labels = make_patches([case], foreground=1.0).patch_number(0)
    assert int(image[0, 0, 0, 0]) == 1 + 0 * 100 + 6 * 10 + 3
    assert labels[0, 3, 2] == 1


@pytest.mark.parametrize("foreground", [0.0, 1.0])
def test_a_case_smaller_than_the_patch_is_whole_in_it_with_zeros_around(
    make_patches, tmp_path, foreground
):
    case = put_case(tmp_path, "c", (5, 3, 4), centres=[(1, 0, 0, 0), (2, 4, 2, 3)])
    patches = make_patches([case], patch=(6, 8, 4), foreground=foreground)
    for number in range(10):
        image, labels = patches.patch_number(number)
        voxels = image[image > 0].numpy()
        np.testing.assert_array_equal(voxels, np.arange(1, 61))
        assert (labels[image[0] == 0] == 0).all()
        assert labels.sum() == 3


def test_a_case_without_labels_gives_patches_too(make_patches, tmp_path):
    case = put_case(tmp_path, "a")
    assert make_patches([case], foreground=1.0).patch_number(0)[1].sum() == 0


@pytest.fixture
def broken(tmp_path):
    """A sound case, and one whose image is cut off."""
    cases = [put_case(tmp_path, "sound"), put_case(tmp_path, "broken")]
    (tmp_path / "broken.image.b2nd").write_bytes(b"cut off")
    (tmp_path / "broken.case.json").touch()
    return cases


def test_a_batch_that_cannot_be_made_names_its_case_step_and_cause(make_patches, broken):
    batches = list(make_patches(broken, batch=1, first=4, last=6))
    kinds = [type(batch) for batch in batches]
    assert sorted(kind.__name__ for kind in kinds) == ["Batch", "Failed"]
    failed = batches[kinds.index(Failed)]
    assert failed.case == "broken"
    assert failed.step == 4 + kinds.index(Failed)
    said = str(failed.error())
    assert said.startswith(f"broken: a patch for step {failed.step} could not be made: ")
    assert "--resume" in said
    assert not (broken[1].folder / "broken.case.json").exists()  # so a resume prepares it anew


def test_the_second_patch_of_a_batch_is_the_one_that_is_named(make_patches, tmp_path):
    cases = [put_case(tmp_path, name) for name in "abc"]
    patches = make_patches(cases, batch=3, last=1)
    names = [patches._case(number).name for number in range(3)]
    (tmp_path / f"{names[1]}.labels.b2nd").unlink()
    (failed,) = patches
    assert failed.case == names[1]


@pytest.mark.slow
def test_a_failure_in_a_worker_reaches_the_main_process(make_patches, broken):
    patches = make_patches(broken, batch=1, last=2)
    loader = DataLoader(patches, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    assert {type(batch).__name__ for batch in loader} == {"Batch", "Failed"}
