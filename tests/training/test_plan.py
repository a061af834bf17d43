"""What a plan decides, by the rules it states."""

import pytest
import torch
from torch import nn

from medseg import networks
from medseg import recipe as recipes
from medseg.errors import UsageError
from medseg.recipe import NetworkChoice
from medseg.training import plan as planning
from medseg.training.fingerprint import Fingerprint

CPU = torch.device("cpu")


@pytest.fixture
def data():
    return Fingerprint(
        shapes=[(40, 60, 30), (36, 50, 34), (38, 52, 32)], spacings_mm=[(1.0, 1.0, 1.0)] * 3
    )


def _plan(data, task, *settings, cases=100):
    settings = ("network.options.features=12", *settings)
    return planning.resolve(recipes.read("default", settings), task, data, CPU, cases=cases)


def test_the_patch_is_the_median_size_rounded_up_to_eight(data, hippocampus_task):
    assert _plan(data, hippocampus_task).patch == (40, 56, 32)


def test_the_patch_is_no_larger_than_the_limit(hippocampus_task):
    large = Fingerprint(shapes=[(200, 40, 40)], spacings_mm=[(1.0, 1.0, 1.0)])
    assert _plan(large, hippocampus_task).patch == (96, 40, 40)


def test_little_memory_shortens_the_longest_axis_and_then_the_batch(
    data, hippocampus_task, monkeypatch
):
    monkeypatch.setattr(planning, "_memory_bytes", lambda _: 1.0)
    plan = _plan(data, hippocampus_task)
    assert max(plan.patch) == 32
    assert plan.batch == 1


def test_a_batch_that_was_asked_for_stays(data, hippocampus_task, monkeypatch):
    monkeypatch.setattr(planning, "_memory_bytes", lambda _: 1.0)
    assert _plan(data, hippocampus_task, "training.batch=3").batch == 3


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
    plan = planning.resolve(recipe, hippocampus_task, data, CPU, cases=10)
    assert plan.network.options["size"] == "small"


def test_another_option_leaves_the_size_to_the_device(data, hippocampus_task):
    recipe = recipes.read("default", ("patch=[32,32,32]", "network.options.use_v2=true"))
    plan = planning.resolve(recipe, hippocampus_task, data, CPU, cases=10)
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
    plan = planning.resolve(recipes.read("default", settings), hippocampus_task, data, CPU, cases=9)
    assert plan.network.options == {"size": size}


def test_public_weights_leave_the_options_of_a_size_alone(data, hippocampus_task):
    recipe = recipes.read("default", ("patch=[40,56,32]",))
    plan = planning.resolve(recipe, hippocampus_task, data, CPU, cases=9, pretrained=True)
    assert plan.network.options == {"size": "small"}
    plan = planning.resolve(recipe, hippocampus_task, data, CPU, cases=9)
    assert plan.network.options == {"size": "small", "window": (5, 7, 6)}


class Square(nn.Module):
    """Keeps two numbers per voxel; with a coarser scale three."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image):
        return (image * self.scale) ** 2

    def deep_supervision(self, image):
        return [self(image), (image + 1).exp()]


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(("deep", "numbers"), [(False, 2), (True, 3)])
def test_what_a_network_keeps_is_counted_once_and_without_weights(device, deep, numbers):
    network = Square().to(device)
    image = torch.zeros(1, 1, 4, 5, 6, device=device, requires_grad=True)
    # of each voxel: the image (for the scale) and image * scale (for the square); the exponential
    assert planning.kept_bytes(network, image, deep=deep) == numbers * 4 * 120


def test_memory_is_counted_of_the_network_that_will_be_trained(data, hippocampus_task, monkeypatch):
    seen = []

    def counted(network, image, *, deep):
        windows = network.swinViT.layers1[0].blocks[0].attn.window
        seen.append((tuple(image.shape[2:]), windows, deep))
        return 8 * image[0, 0].numel()

    monkeypatch.setattr(planning, "kept_bytes", counted)
    monkeypatch.setattr(planning, "_memory_bytes", lambda _: 2 * 2 * 8 * 40 * 48 * 32 + 1.0)
    settings = ("network.options.size=small",)
    plan = planning.resolve(recipes.read("default", settings), hippocampus_task, data, CPU, cases=9)
    assert (plan.patch, plan.batch) == ((40, 48, 32), 2)
    assert seen == [((40, 56, 32), (5, 7, 6), True), ((40, 48, 32), (5, 6, 6), True)]


@pytest.mark.parametrize("name", ["swin_unetr", "ds_transunet", "res_enc_unet"])
def test_counting_without_values_is_close_to_what_a_cpu_keeps(name):
    counted = []
    for device in ("meta", "cpu"):
        with torch.device(device):
            network = networks.build(name, in_channels=1, out_channels=2, size="tiny")
            image = torch.zeros(1, 1, 32, 32, 32)
        counted.append(planning.kept_bytes(network, image, deep=True))
    assert counted[0] == pytest.approx(counted[1], rel=0.5)


def test_a_batch_is_shared_equally_by_several_processes(make_plan):
    plan = make_plan(batch=2)
    assert planning.for_processes(plan, 3, automatic=True).batch == 6
    assert planning.for_processes(plan, 2, automatic=False) == plan
    with pytest.raises(UsageError, match=r"--set training\.batch=3"):
        planning.for_processes(plan, 3, automatic=False)
