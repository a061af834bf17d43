from pathlib import Path

import numpy as np
import pytest
import torch

from medseg.bundle import Bundle
from medseg.errors import UsageError
from medseg.inference import ensemble


@pytest.mark.parametrize("name", ["hippocampus_task", "phantom_task"])
def test_one_model_alone_keeps_its_logits_but_for_a_shift(name, request, rng):
    task = request.getfixturevalue(name)
    logits = rng.normal(0, 3, (task.out_channels, 5, 3, 2)).astype(np.float32)
    found = ensemble.mean_logits([[logits[:, :2], logits[:, 2:]]], (5, 3, 2), task)
    shift = torch.from_numpy(logits).logsumexp(0).numpy() if task.exclusive else 0
    np.testing.assert_allclose(found, logits - shift, atol=1e-4)


def test_probabilities_of_overlapping_regions_are_averaged_one_by_one(phantom_task):
    logits = [np.full((3, 1, 1, 1), value, np.float32) for value in (np.log(9), -np.log(4))]
    found = ensemble.mean_logits([[part] for part in logits], (1, 1, 1), phantom_task)
    np.testing.assert_allclose(found, np.log(0.55 / 0.45), rtol=1e-5)  # 0.9 and 0.2


def test_logits_without_bound_stay_finite(hippocampus_task, phantom_task):
    for task in (hippocampus_task, phantom_task):
        logits = np.full((task.out_channels, 1, 1, 1), -1e4, np.float32)
        logits[0] = 1e4
        found = ensemble.mean_logits([[logits]], (1, 1, 1), task)
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
