"""What a plan decides, by the rules it states."""

import pytest
import torch

from medseg import memory
from medseg import recipe as recipes
from medseg.errors import UsageError
from medseg.recipe import NetworkChoice
from medseg.training import memory_need
from medseg.training import plan as planning
from medseg.training.fingerprint import Fingerprint

CPU = torch.device("cpu")
GPU = torch.device("cuda")  # nothing is computed there


@pytest.fixture
def data():
    return Fingerprint(
        shapes=[(40, 60, 30), (36, 50, 34), (38, 52, 32)], spacings_mm=[(1.0, 1.0, 1.0)] * 3
    )


def _plan(data, task, *settings, cases=100):
    settings = ("network.options.features=12", *settings)
    return planning.resolve(recipes.read("default", settings), task, data, CPU, cases=cases).plan


def test_the_patch_is_the_median_size_rounded_up_to_what_poolings_divide(data, hippocampus_task):
    assert _plan(data, hippocampus_task).patch == (40, 56, 32)


def test_on_a_cpu_a_patch_has_no_more_voxels_than_are_worth_the_time(hippocampus_task):
    # each axis in turn: 224, 192, 160, 128, 112, 96, until the product is no more than 96 x 96 x 96
    large = Fingerprint(shapes=[(200, 200, 200)], spacings_mm=[(1.0, 1.0, 1.0)])
    assert _plan(large, hippocampus_task).patch == (96, 96, 96)


def test_little_memory_shortens_the_longest_axis_and_then_the_batch(
    data, hippocampus_task, monkeypatch
):
    monkeypatch.setattr(memory_need, "budget_bytes", lambda _, **__: 1.0)
    plan = _plan(data, hippocampus_task)
    assert max(plan.patch) == 32
    assert plan.batch == 1


def test_a_batch_that_was_asked_for_stays(data, hippocampus_task, monkeypatch):
    monkeypatch.setattr(memory_need, "budget_bytes", lambda _, **__: 1.0)
    assert _plan(data, hippocampus_task, "training.batch=3").batch == 3


@pytest.mark.parametrize(("budget", "batch", "told"), [(1.0, 1, 1), (1e15, 2, 0)])
def test_where_two_patches_that_were_asked_for_do_not_fit_one_is_taken(
    data, hippocampus_task, monkeypatch, budget, batch, told
):
    monkeypatch.setattr(memory_need, "budget_bytes", lambda _, **__: budget)
    recipe = recipes.read("default", ("network.options.features=12", "patch=[40,56,32]"))
    planned = planning.resolve(recipe, hippocampus_task, data, CPU, cases=9)
    assert (planned.plan.patch, planned.plan.batch) == ((40, 56, 32), batch)
    assert ["memory may run out" in said for said in planned.concerns] == [True] * told


@pytest.mark.parametrize(
    ("processes", "sharing", "is_whole"), [(1, 1, False), (4, 1, True), (4, 4, False)]
)
def test_each_process_has_room_for_its_share_of_a_batch(
    data, hippocampus_task, monkeypatch, processes, sharing, is_whole
):
    def counted(_network, image, *, deep):
        return 8 * image[0, 0].numel() + deep

    monkeypatch.setattr(memory_need, "kept_bytes", counted)
    # half of it is for a step: one patch of the whole size
    monkeypatch.setattr(memory, "total_bytes", lambda: 2 * 1.5 * (8 * 40 * 56 * 32 + 1) + 2)
    monkeypatch.setattr(memory_need, "COPIES", 0)
    monkeypatch.setattr(memory_need, "LOSS", 0)
    recipe = recipes.read("default", ("network.options.features=12", "training.batch=4"))
    plan = planning.resolve(
        *(recipe, hippocampus_task, data, CPU), cases=9, processes=processes, sharing=sharing
    ).plan
    assert plan.batch == 4
    assert (plan.patch == (40, 56, 32)) == is_whole


def test_spacing_is_the_median_of_the_data(hippocampus_task):
    data = Fingerprint(
        shapes=[(40, 40, 40)] * 3, spacings_mm=[(1.0, 1.0, 1.0), (0.8, 0.9, 1.2), (0.7, 0.8, 1.3)]
    )
    assert _plan(data, hippocampus_task).spacing_mm == (0.8, 0.9, 1.2)


def test_thick_slices_take_the_tenth_percentile(hippocampus_task):
    data = Fingerprint(
        shapes=[(200, 200, 10)] * 11, spacings_mm=[(1.0, 1.0, 5.0 + n) for n in range(11)]
    )
    assert _plan(data, hippocampus_task).spacing_mm == (1.0, 1.0, 6.0)


@pytest.mark.parametrize(
    ("shape", "spacings_mm"),
    [
        ((36, 50, 35), [(1.0, 1.0, 1.0)] * 5),
        ((512, 512, 90), [(0.7 + 0.02 * n, 0.7 + 0.02 * n, 2.5 + n / 4) for n in range(11)]),
        ((512, 512, 90), [(0.7, 0.7, 0.5)] * 2 + [(0.7, 0.7, 5.0)] * 9),  # thinner than across
        ((200, 200, 80), [(1.0, 1.0, 5.0 + n) for n in range(11)]),  # thick, but many slices
        ((200, 200, 10), [(1.0, 2.5, 6.0 + n) for n in range(11)]),  # thrice the finest alone
    ],
)
def test_spacing_is_that_of_nnunets_planner(hippocampus_task, shape, spacings_mm):
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
        ExperimentPlanner,
    )

    shapes = [shape] * len(spacings_mm)
    planner = ExperimentPlanner.__new__(ExperimentPlanner)  # its own data would have to be on disk
    planner.overwrite_target_spacing = None
    planner.anisotropy_threshold = 3
    planner.dataset_fingerprint = {"spacings": spacings_mm, "shapes_after_crop": shapes}
    expected = planner.determine_fullres_target_spacing()
    found = _plan(Fingerprint(shapes=shapes, spacings_mm=spacings_mm), hippocampus_task).spacing_mm
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_recipes_spacing_comes_first(data, hippocampus_task):
    assert _plan(data, hippocampus_task, "spacing_mm=[2,2,2]").spacing_mm == (2.0, 2.0, 2.0)


def test_the_tasks_spacing_comes_second(data, hippocampus_task):
    task = hippocampus_task.model_copy(update={"spacing_mm": (1.5, 1.5, 1.5)})
    assert _plan(data, task).spacing_mm == (1.5, 1.5, 1.5)


@pytest.mark.parametrize(("cases", "steps"), [(4, 25), (100, 50), (5000, 250)])
def test_an_epoch_sees_every_case_once_within_limits(data, hippocampus_task, cases, steps):
    assert _plan(data, hippocampus_task, cases=cases).steps_per_epoch == steps


def test_on_a_cpu_auto_precision_is_float32(data, hippocampus_task):
    assert _plan(data, hippocampus_task).precision == "float32"
    plan = _plan(data, hippocampus_task, "training.precision=bfloat16")
    assert plan.precision == "bfloat16"


def test_without_options_a_cpu_gets_the_small_network(data, hippocampus_task):
    recipe = recipes.read("default", ("patch=[32,32,32]",))
    plan = planning.resolve(recipe, hippocampus_task, data, CPU, cases=10).plan
    assert plan.network.options["size"] == "small"


def test_another_option_leaves_the_size_to_the_device(data, hippocampus_task):
    recipe = recipes.read("default", ("patch=[32,32,32]", "network.options.use_v2=true"))
    plan = planning.resolve(recipe, hippocampus_task, data, CPU, cases=10).plan
    assert plan.network.options == {"size": "small", "use_v2": True, "window": (6, 6, 6)}


def test_an_unknown_network_is_refused_with_the_choices(hippocampus_task):
    with pytest.raises(UsageError, match=r"choose from.*swin_unetr"):
        planning.build_network(NetworkChoice(name="swinunetr"), hippocampus_task)


def test_an_unknown_option_is_refused(hippocampus_task):
    choice = NetworkChoice(name="swin_unetr", options={"colour": 3})
    with pytest.raises(UsageError, match="colour"):
        planning.build_network(choice, hippocampus_task)


@pytest.mark.parametrize("size", ["published", "published_light", "tiny"])
def test_a_size_that_is_as_made_is_built_as_made(data, hippocampus_task, size):
    settings = ("patch=[40,56,32]", "network.name=swin_umamba", f"network.options.size={size}")
    recipe = recipes.read("default", settings)
    plan = planning.resolve(recipe, hippocampus_task, data, CPU, cases=9).plan
    assert plan.network.options == {"size": size}


def test_public_weights_leave_the_options_of_a_size_alone(data, hippocampus_task):
    recipe = recipes.read("default", ("patch=[40,56,32]",))
    plan = planning.resolve(recipe, hippocampus_task, data, CPU, cases=9, pretrained=True).plan
    assert plan.network.options == {"size": "small"}
    plan = planning.resolve(recipe, hippocampus_task, data, CPU, cases=9).plan
    assert plan.network.options == {"size": "small", "window": (5, 7, 6)}


def test_memory_is_counted_of_the_network_that_will_be_trained(data, hippocampus_task, monkeypatch):
    seen = []

    def counted(network, image, *, deep):
        windows = network.swinViT.layers1[0].blocks[0].attn.window
        seen.append((tuple(image.shape[2:]), windows, deep))
        return 8 * image[0, 0].numel()

    monkeypatch.setattr(memory_need, "kept_bytes", counted)
    monkeypatch.setattr(memory_need, "COPIES", 0)
    monkeypatch.setattr(memory_need, "LOSS", 0)
    monkeypatch.setattr(
        memory_need, "budget_bytes", lambda _, **__: 2 * 1.5 * 8 * 40 * 48 * 32 + 1.0
    )
    settings = ("network.options.size=small",)
    recipe = recipes.read("default", settings)
    plan = planning.resolve(recipe, hippocampus_task, data, CPU, cases=9).plan
    assert (plan.patch, plan.batch) == ((40, 48, 32), 2)
    assert seen == [((40, 56, 32), (5, 7, 6), True), ((40, 48, 32), (5, 6, 6), True)]


@pytest.mark.parametrize(
    ("patch", "spacing_mm", "across"),
    [
        ((256, 224, 10), (1.5, 1.5, 10.0), "z"),
        ((224, 10, 224), (1.5, 10.0, 1.5), "y"),
        ((40, 56, 40), (1.0, 1.0, 1.0), "none"),
        ((128, 128, 48), (1.0, 1.0, 5.0), "none"),  # thick, but many
        ((128, 128, 16), (1.0, 1.0, 1.0), "none"),  # few, but not thick
    ],
)
def test_patches_of_thick_slices_are_turned_within_them(patch, spacing_mm, across):
    assert planning.thick_axis(patch, spacing_mm) == across


@pytest.fixture
def much_memory(monkeypatch):
    monkeypatch.setattr(memory_need, "budget_bytes", lambda _, **__: 1e15)


@pytest.mark.usefixtures("much_memory")
def test_a_heart_in_thick_slices_is_planned_as_nnunet_plans_it(hippocampus_task):
    # ACDC: nnU-Net's own plan has patches of 20 256 224 and strides 122 222 222 122 122
    data = Fingerprint(shapes=[(237, 208, 18)] * 3, spacings_mm=[(1.5625, 1.5625, 5.0)] * 3)
    settings = ("network.name=res_enc_unet", "training.precision=float32")
    recipe = recipes.read("default", settings)
    planned = planning.resolve(recipe, hippocampus_task, data, GPU, cases=200)
    plan = planned.plan
    assert plan.patch == (256, 224, 20)
    assert plan.network.options["strides"] == (
        *((2, 2, 1), (2, 2, 2), (2, 2, 2), (2, 2, 1), (2, 2, 1)),
    )
    assert plan.network.options["kernels"][:2] == ((3, 3, 1), (3, 3, 3))
    assert plan.training.augmentation.slices_across == "z"
    assert "thick along z" in planned.reasons["training"]
    # a twentieth of 200 cases of 237 x 208 x 18 voxels is 8.87 million, 7.7 patches
    assert plan.batch == 8


@pytest.mark.usefixtures("much_memory")
@pytest.mark.parametrize(
    ("shape", "spacing_mm", "device", "patch", "batch"),
    [
        # on a GPU 128 x 128 x 128 are worth the time, on a CPU 96 x 96 x 96: 10 slices fit whole
        ((230, 210, 10), (1.5, 1.5, 10.0), "cpu", (256, 224, 10), 2),
        # what nnU-Net plans for BraTS; 0.05 x 1000 x 140 x 171 x 137 / 128^3 = 78.2
        ((140, 171, 137), (1.0, 1.0, 1.0), "cuda", (128, 128, 128), 78),
        ((36, 50, 35), (1.0, 1.0, 1.0), "cpu", (40, 56, 40), 2),
        # a twentieth of 1000 cases of 36 x 50 x 35 voxels are 35 patches of 40 x 56 x 40
        ((36, 50, 35), (1.0, 1.0, 1.0), "cuda", (40, 56, 40), 35),
    ],
)
def test_patches_and_batches_of_known_data(
    hippocampus_task, shape, spacing_mm, device, patch, batch
):
    data = Fingerprint(shapes=[shape], spacings_mm=[spacing_mm])
    settings = ("network.options.features=12", "training.precision=float32")
    recipe = recipes.read("default", settings)
    plan = planning.resolve(recipe, hippocampus_task, data, torch.device(device), cases=1000).plan
    assert (plan.patch, plan.batch) == (patch, batch)
    assert plan.steps_per_epoch == 250


def test_a_plan_says_for_what_it_was_made_and_why(data, hippocampus_task):
    recipe = recipes.read("default", ("training.batch=4", "training.steps_per_epoch=30"))
    planned = planning.resolve(recipe, hippocampus_task, data, CPU, cases=9)
    assert planned.plan.channels == tuple(hippocampus_task.channels)
    assert planned.reasons.keys() <= planned.plan.model_dump().keys()
    assert "38x52x32" in planned.reasons["patch"]
    assert (planned.plan.batch, planned.plan.training.batch) == (4, "auto")
    assert (planned.plan.steps_per_epoch, planned.plan.training.steps_per_epoch) == (30, "auto")


def test_a_batch_is_shared_equally_by_several_processes(make_plan):
    plan = make_plan(batch=2)
    assert planning.for_processes(plan, 3, automatic=True).batch == 6
    assert planning.for_processes(plan, 2, automatic=False) == plan
    with pytest.raises(UsageError, match=r"--set training\.batch=3"):
        planning.for_processes(plan, 3, automatic=False)
