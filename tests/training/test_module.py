"""One optimisation step."""

import pytest
import torch
from torch import nn

from medseg import networks
from medseg.data.patches import Batch
from medseg.errors import UsageError
from medseg.recipe import Training
from medseg.training.module import SegmentationModule, label_targets
from medseg.training.schedule import Progress


@pytest.fixture
def plan(make_plan):
    return make_plan(training=Training(weight_decay=0.5))


def _module(task, plan, network=None):
    network = network or nn.Conv3d(len(task.channels), task.out_channels, 1)
    return SegmentationModule(network, task, plan, Progress(10, None))


def test_targets_of_exclusive_regions_are_one_hot_with_background(hippocampus_task):
    assert label_targets(hippocampus_task).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_targets_of_nested_regions_hold_all_of_them(phantom_task):
    # rows: background, rim, mantle, inner; columns: whole, core, innermost
    expected = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert label_targets(phantom_task).tolist() == expected


def test_scales_and_biases_are_not_decayed(hippocampus_task, plan):
    groups = _module(hippocampus_task, plan).configure_optimizers().param_groups
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert [len(group["params"]) for group in groups] == [1, 1]


@pytest.mark.parametrize(
    ("network", "excepted"),
    [
        ("swin_umamba", {"dt_projs_bias", "A_logs", "Ds"}),
        ("swin_unetr", {"relative_position_bias_table"}),
    ],
)
def test_constants_of_more_than_one_axis_are_not_decayed(phantom_task, plan, network, excepted):
    built = networks.build(network, in_channels=2, out_channels=3, size="tiny")
    decayed, spared = _module(phantom_task, plan, built).configure_optimizers().param_groups
    names = {id(weight): name.rpartition(".")[2] for name, weight in built.named_parameters()}
    kinds = {names[id(weight)] for weight in spared["params"]}
    assert kinds == excepted | {"weight", "bias"}
    assert not (excepted | {"bias"}) & {names[id(weight)] for weight in decayed["params"]}
    assert len(decayed["params"]) + len(spared["params"]) == len(list(built.parameters()))
    assert all(w.ndim == 1 for w in spared["params"] if names[id(w)] == "weight")


def test_a_loss_that_is_not_finite_stops_with_advice(hippocampus_task, plan):
    module = _module(hippocampus_task, plan)
    batch = Batch(torch.full((1, 1, 4, 4, 4), torch.nan), torch.zeros(1, 4, 4, 4, dtype=torch.long))
    with pytest.raises(UsageError, match="Lower the learning rate"):
        module.training_step(batch, 0)


def test_the_loss_of_a_step_has_a_gradient(phantom_task, plan):
    module = _module(phantom_task, plan)
    batch = Batch(torch.randn(1, 2, 4, 4, 4), torch.randint(0, 4, (1, 4, 4, 4)))
    module.training_step(batch, 0).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in module.network.parameters())


def test_dropout_is_the_same_in_the_same_step(phantom_task, plan):
    network = nn.Sequential(nn.Conv3d(2, 3, 1), nn.Dropout(0.5))
    module = _module(phantom_task, plan, network)
    batch = Batch(torch.randn(1, 2, 4, 4, 4), torch.randint(0, 4, (1, 4, 4, 4)))
    assert module.training_step(batch, 0) == module.training_step(batch, 0)


class Deep(nn.Module):
    """A network with two scales, the second of which would be heard only in deep supervision."""

    SUPERVISION = (0.5, 0.5)

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv3d(2, 3, 1), nn.Conv3d(2, 3, 1)

    def forward(self, image):
        return self.fine(image)

    def deep_supervision(self, image):
        return [self.fine(image), self.coarse(image[:, :, ::2, ::2, ::2])]


@pytest.mark.parametrize("deep", [True, False])
def test_coarser_logits_count_if_the_recipe_says_so(phantom_task, make_plan, deep):
    plan = make_plan(training=Training(deep_supervision=deep))
    module = _module(phantom_task, plan, Deep())
    batch = Batch(torch.randn(1, 2, 4, 4, 4), torch.randint(0, 4, (1, 4, 4, 4)))
    module.training_step(batch, 0).backward()
    assert (module.network.coarse.weight.grad is not None) == deep
    assert module.network.fine.weight.grad.abs().sum() > 0


def test_the_recipe_may_ask_for_nesterov(hippocampus_task, make_plan):
    settings = Training(optimizer="sgd", momentum=0.9, learning_rate=0.02, weight_decay=3e-5)
    optimizer = _module(hippocampus_task, make_plan(training=settings)).configure_optimizers()
    assert isinstance(optimizer, torch.optim.SGD)
    first = optimizer.param_groups[0]
    assert (first["nesterov"], first["momentum"], first["lr"]) == (True, 0.9, 0.02)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [3e-5, 0.0]


def test_the_recipe_may_ask_for_plain_momentum(hippocampus_task, make_plan):
    settings = Training(optimizer="sgd", momentum=0.9, nesterov=False)
    optimizer = _module(hippocampus_task, make_plan(training=settings)).configure_optimizers()
    assert optimizer.param_groups[0]["nesterov"] is False
