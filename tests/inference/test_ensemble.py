import errno
import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from medseg.bundle import Bundle
from medseg.errors import OutputError, UsageError
from medseg.inference import ensemble


def pieces_of(logits, *cuts):
    """Give logits in pieces along i; each is of no use when the next one is asked for."""

    def give():
        for start, stop in itertools.pairwise([0, *cuts, logits.shape[1]]):
            piece = logits[:, start:stop].copy()
            yield piece
            piece[:] = np.nan

    return give


def joined(pieces):
    return np.concatenate(list(pieces), axis=1)


@pytest.mark.parametrize("name", ["hippocampus_task", "phantom_task"])
def test_one_model_alone_keeps_its_logits_but_for_a_shift(name, request, rng):
    task = request.getfixturevalue(name)
    logits = rng.normal(0, 3, (task.out_channels, 5, 3, 2)).astype(np.float32)
    found = joined(ensemble.mean_logits([pieces_of(logits, 2)], task))
    shift = torch.from_numpy(logits).logsumexp(0).numpy() if task.exclusive else 0
    np.testing.assert_allclose(found, logits - shift, atol=1e-4)


def test_probabilities_of_overlapping_regions_are_averaged_one_by_one(phantom_task):
    logits = [np.full((3, 1, 1, 1), value, np.float32) for value in (np.log(9), -np.log(4))]
    found = joined(ensemble.mean_logits([pieces_of(part) for part in logits], phantom_task))
    np.testing.assert_allclose(found, np.log(0.55 / 0.45), rtol=1e-5)  # 0.9 and 0.2


@pytest.mark.parametrize("most", [1, 100, 1 << 20])
def test_the_mean_of_pieces_of_any_length_is_that_of_the_whole_in_memory_or_not(
    most, rng, monkeypatch
):
    monkeypatch.setattr(ensemble, "IN_MEMORY", most)
    several = [rng.normal(size=(3, 7, 4, 5)).astype(np.float32) for _ in range(4)]
    cuts = [(), (1, 5), (3,), (2, 4, 6)]
    members = [pieces_of(values, *cut) for values, cut in zip(several, cuts, strict=True)]
    pieces = [piece.copy() for piece in ensemble.mean(members)]
    assert [piece.shape[1] for piece in pieces] == [2, 2, 2, 1]
    np.testing.assert_allclose(joined(pieces), np.mean(several, axis=0), atol=1e-6)


def test_a_member_begins_when_the_one_before_has_ended():
    told = []

    def member(name):
        def give():
            told.append(f"{name} begins")
            yield np.zeros((1, 2, 1, 1), np.float32)
            told.append(f"{name} ends")

        return give

    found = ensemble.mean([member("a"), member("b"), member("c")])
    assert told == []
    next(found)
    assert told == ["a begins", "a ends", "b begins", "b ends", "c begins"]


def test_a_sum_takes_no_more_memory_than_told_and_a_full_disk_is_told(monkeypatch, tmp_path):
    assert ensemble.held_bytes((10, 20, 30), 3) == 10 * 20 * 30 * 3 * 4
    assert ensemble.held_bytes((512, 512, 800), 14) == ensemble.IN_MEMORY

    def write(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    full = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - closed by what uses it
    monkeypatch.setattr(full, "write", write)
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda _: full)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    zeros = pieces_of(np.zeros((1, 2, 1, 1), np.float32))
    with pytest.raises(OutputError, match=r"No space left on device\. .* set TMPDIR"):
        joined(ensemble.mean([zeros, zeros]))


def test_logits_without_bound_stay_finite(hippocampus_task, phantom_task):
    for task in (hippocampus_task, phantom_task):
        logits = np.full((task.out_channels, 1, 1, 1), -1e4, np.float32)
        logits[0] = 1e4
        found = joined(ensemble.mean_logits([pieces_of(logits)], task))
        assert np.isfinite(found).all()
        assert found[:, 0, 0, 0].argmax() == 0


def test_models_of_other_labels_are_refused(hippocampus_task, phantom_task, make_plan):
    def model(task, name):
        return Bundle(Path(name), task, make_plan())

    anterior = hippocampus_task.labels["anterior"].model_copy(update={"value": 7})
    labels = {**hippocampus_task.labels, "anterior": anterior}
    renumbered = hippocampus_task.model_copy(update={"labels": labels})
    other_colours = hippocampus_task.model_copy(update={"title": "The same", "mirror_axes": ()})
    one = model(hippocampus_task, "one")
    ensemble.require_same_task([one, model(other_colours, "two")])
    with pytest.raises(UsageError, match=r"two: its labels are .* 7"):
        ensemble.require_same_task([one, model(renumbered, "two")])
    with pytest.raises(UsageError, match="its channels"):
        ensemble.require_same_task([one, model(phantom_task, "two")])


@pytest.mark.parametrize("what", ["labels", "channels"])
def test_models_whose_outputs_or_channels_come_in_another_order_are_refused(
    phantom_task, make_plan, what
):
    turned = dict(reversed(list(getattr(phantom_task, what).items())))
    other = phantom_task.model_copy(update={what: turned})
    models = [Bundle(Path(n), task, make_plan()) for n, task in (("a", phantom_task), ("b", other))]
    with pytest.raises(UsageError, match=f"its {what}"):
        ensemble.require_same_task(models)


def test_a_hash_does_not_depend_on_the_order():
    one, two = "a" * 64, "b" * 64
    assert ensemble.hash_of([one]) == one
    assert ensemble.hash_of([one, two]) == ensemble.hash_of([two, one]) != one
