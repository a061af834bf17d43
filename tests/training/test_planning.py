"""What a run will do follows from what was asked for, or from a plan that was given."""

from dataclasses import replace

import pytest

from medseg import memory
from medseg import recipe as recipes
from medseg.errors import UsageError
from medseg.training import planning
from medseg.training.fingerprint import Fingerprint

DATA = Fingerprint(shapes=[(20, 20, 16)] * 4, spacings_mm=[(2.4, 2.4, 2.5)] * 4)


@pytest.fixture
def given(make_request, make_plan):
    """A request that gives a plan."""
    options = {"features": 12, "depths": [1, 1, 1, 1]}

    def made(*settings, epochs=None, **changes):
        fields = {"channels": ("t1", "t2"), "network": {"name": "swin_unetr", "options": options}}
        plan = make_plan(**(fields | changes))
        text = recipes.plan_text(plan)
        asked = make_request(epochs=epochs)
        return replace(asked, settings=settings, plan="my plan.yaml", plan_text=text)

    return made


def _planned(request, processes=1):
    return planning.planned(request, planning.ground(request), DATA, processes=processes)


def test_a_recipe_is_planned_for_the_data(make_request):
    planned = _planned(make_request("training.batch=auto"), processes=3)
    assert planned.plan.patch == (16, 16, 16)
    assert planned.plan.batch == 6  # two for each process
    assert planned.plan.spacing_mm == (2.4, 2.4, 2.5)


def test_a_plan_that_was_given_is_taken_as_it_is(given, phantom_task_channels):
    training = recipes.Training(augmentation={"slices_across": "y"})
    request = given(
        batch=4, spacing_mm=(2.0, 2.0, 2.0), channels=phantom_task_channels, training=training
    )
    planned = _planned(request, processes=2)
    expected = recipes.read_plan(request.plan_text, where="here")
    assert planned.plan == expected
    assert "my plan.yaml" in planned.reasons["network"]
    assert planned.concerns == ()


@pytest.mark.parametrize(
    ("settings", "precision", "told"),
    [((), "float32", 1), (("precision=bfloat16",), "bfloat16", 0)],
)
def test_a_cpu_takes_a_plans_bfloat16_only_if_asked_to(given, settings, precision, told):
    planned = _planned(given(*settings, channels=(), precision="bfloat16"))
    assert planned.plan.precision == precision
    assert ["--set precision=bfloat16" in said for said in planned.concerns] == [True] * told


@pytest.mark.parametrize(
    ("patch", "spacing_mm", "across"),
    [((32, 32, 8), (1.0, 1.0, 5.0), "z"), ((16, 16, 16), (1.0, 1.0, 1.0), "none")],
)
def test_thick_slices_of_a_given_plan_are_found(given, patch, spacing_mm, across):
    plan = _planned(given(channels=(), patch=patch, spacing_mm=spacing_mm)).plan
    assert plan.training.augmentation.slices_across == across


def test_a_given_plan_of_too_much_memory_is_told(given, monkeypatch):
    request = given(channels=(), batch=2)
    text = _planned(request).reasons["patch"]
    monkeypatch.setattr(memory, "total_bytes", lambda: 1000)
    told = _planned(request).concerns
    assert len(told) == 1
    assert text.split(" of ")[0] in told[0]


def test_settings_and_epochs_change_a_plan(given, phantom_task_channels):
    request = given("batch=3", epochs=5, channels=phantom_task_channels)
    plan = _planned(request).plan
    assert (plan.batch, plan.training.epochs) == (3, 5)


def test_older_plans_do_not_name_their_channels(given):
    assert _planned(given(channels=())).plan.channels == ()


@pytest.mark.parametrize(
    ("changes", "processes", "message"),
    [
        ({"channels": ("ct",)}, 1, r"my plan\.yaml: was made for the channels ct; task phantom"),
        (
            {"windows": {"ct": {"lower": 0, "upper": 1, "mean": 0, "deviation": 1}}},
            1,
            r"for the CT channels ct; task phantom has none.*'medseg plan'",
        ),
        ({"network": {"name": "swinunetr"}}, 1, r"my plan\.yaml: .*choose from.*swin_unetr"),
        (
            {"network": {"name": "swin_unetr", "options": {"windows": 5}}},
            1,
            r"my plan\.yaml: .*no option 'windows'",
        ),
        ({"batch": 3}, 2, r"cannot be shared equally by 2 processes.*--set batch=4"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(
    given, phantom_task_channels, changes, processes, message
):
    with pytest.raises(UsageError, match=message):
        _planned(given(**({"channels": phantom_task_channels} | changes)), processes)


def test_a_patch_that_the_network_does_not_take_is_refused(
    given, phantom_task_channels, monkeypatch
):
    def refuse(*_, **__):
        raise ValueError("a window is larger than the grid")

    monkeypatch.setattr(planning.memory_need, "need", refuse)
    with pytest.raises(UsageError, match=r"my plan\.yaml: .*patch of 8x8x8 voxels: a window"):
        _planned(given(channels=phantom_task_channels))


def test_a_training_that_begins_with_a_model_takes_its_network_and_options(make_request, untrained):
    asked = replace(make_request(), init=(str(untrained.folder),))
    theirs = untrained.plan.network
    alone = planning.recipe_of(replace(asked, settings=())).network
    assert alone == theirs
    changed = replace(asked, settings=("network.options.checkpointing=true",))
    options = {**theirs.options, "checkpointing": True}
    assert planning.recipe_of(changed).network.options == options
    other = replace(asked, settings=(), network="d_former")
    assert planning.recipe_of(other).network == recipes.for_network("d_former").network
    assert planning.network_of(replace(asked, settings=())) == "swin_unetr"


@pytest.fixture
def phantom_task_channels():
    from medseg import task as tasks

    return tuple(tasks.read("phantom").channels)
