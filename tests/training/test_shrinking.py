"""Less memory, step by step."""

import pytest

from medseg.training.shrinking import smaller


def _all_of(plan):
    said = []
    while (found := smaller(plan)) is not None:
        plan, what = found
        said.append(what)
    return said, plan


def test_the_batch_goes_first_then_what_is_kept_then_the_patch(make_plan):
    said, last = _all_of(make_plan(batch=5, patch=(64, 40, 48)))
    assert said == [
        "a batch of 2",
        "a batch of 1",
        "inner values computed twice",
        "a patch of 48x40x48",
        "a patch of 32x40x48",
        "a patch of 32x40x32",
        "a patch of 32x32x32",
    ]
    assert last.network.options == {"features": 12, "checkpointing": True}


def test_several_processes_keep_equal_shares(make_plan):
    plan, said = smaller(make_plan(batch=12), processes=4)
    assert (plan.batch, said) == (4, "a batch of 4")  # of three for each, one
    plan, said = smaller(plan, processes=4)
    assert (plan.batch, said) == (4, "inner values computed twice")


@pytest.mark.parametrize("patch", [(16, 16, 16), (32, 8, 8)])
def test_a_small_patch_stays(make_plan, patch):
    said, last = _all_of(make_plan(batch=1, patch=patch))
    assert said == ["inner values computed twice"]
    assert last.patch == patch


def test_a_network_that_keeps_everything_loses_batch_and_patch_alone(make_plan):
    plan = make_plan(batch=2, patch=(40, 8, 8), network={"name": "res_enc_unet", "options": {}})
    assert _all_of(plan)[0] == ["a batch of 1", "a patch of 32x8x8"]
