"""The state-space block beside loops over directions, tokens and states."""

import copy
import itertools

import pytest
import torch
from torch.nn import functional

from medseg.blocks.state_space import (
    STEP_RANGE,
    StateSpace,
    StateSpaceBlock,
    StateSpaceOptions,
    StateSpaceStage,
)


def walk(grid, order, *, reverse):
    """Yield the voxels in the order in which they are read, the last axis fastest."""
    counters = itertools.product(*[range(grid["ijk".index(axis)]) for axis in order])
    voxels = [tuple(dict(zip(order, c, strict=True))[axis] for axis in "ijk") for c in counters]
    yield from reversed(voxels) if reverse else voxels


def in_words(block, tokens, orders):
    """The published block, one direction and one token after the other."""
    d, (directions, values, _) = block.out_proj.in_features, block.x_proj_weight.shape
    states = block.A_logs.shape[1]
    rank = values - 2 * states
    x, gate = (tokens @ block.in_proj.weight.t()).split([d, d], dim=-1)
    pad = tuple(width // 2 for width in block.conv.weight.shape[2:])
    x = functional.conv3d(
        x.permute(0, 4, 1, 2, 3), block.conv.weight, block.conv.bias, padding=pad, groups=d
    )
    x = functional.silu(x).permute(0, 2, 3, 4, 1)
    total = [[] for _ in range(directions)]
    ways = [(order, reverse) for reverse in (False, True) for order in orders]
    for n, (order, reverse) in enumerate(ways):
        of_n = slice(n * d, (n + 1) * d)
        rate = -block.A_logs[of_n].exp()
        state = x.new_zeros(len(x), d, states)
        result = {}
        for i, j, k in walk(x.shape[1:4], order, reverse=reverse):
            u = x[:, i, j, k]
            read = u @ block.x_proj_weight[n].t()
            raw = read[:, :rank] @ block.dt_projs_weight[n].t() + block.dt_projs_bias[n]
            step = (1 + raw.exp()).log()
            enters, leaves = read[:, None, rank : rank + states], read[:, None, rank + states :]
            state = (step[..., None] * rate).exp() * state + (step * u)[..., None] * enters
            result[i, j, k] = (state * leaves).sum(-1) + block.Ds[of_n] * u
        total[n] = torch.stack([result[v] for v in sorted(result)], dim=1)
    mixed = functional.layer_norm(
        sum(total).view(x.shape), (d,), block.out_norm.weight, block.out_norm.bias
    )
    return (mixed * functional.silu(gate)) @ block.out_proj.weight.t()


@pytest.mark.parametrize(
    ("options", "grid"),
    [
        (StateSpaceOptions(states=3, step_rank=2), (2, 3, 2)),
        (
            StateSpaceOptions(states=2, kernel=(1, 3, 3), scan_orders=("ijk", "ikj")),
            (1, 3, 4),
        ),
        (StateSpaceOptions(states=1, expand=1), (2, 2, 2)),
    ],
)
def test_the_block_computes_what_loops_compute(options, grid):
    torch.manual_seed(0)
    block = StateSpace(5, options).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    tokens = torch.randn(2, *grid, 5, dtype=torch.float64)
    expected, found = in_words(block, tokens, options.scan_orders), block(tokens)
    torch.testing.assert_close(found, expected)
    towards = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * towards).sum(), list(block.parameters()))
    gradients = torch.autograd.grad((found * towards).sum(), list(block.parameters()))
    for gradient, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, other)


def test_every_token_hears_of_every_other():
    torch.manual_seed(0)
    block = StateSpace(4, StateSpaceOptions(states=1, kernel=(1, 1, 1)))
    tokens = torch.randn(1, 3, 2, 3, 4, requires_grad=True)
    block(tokens)[0, 1, 0, 1].sum().backward()
    assert tokens.grad.abs().sum(-1).gt(0).all()


def test_each_direction_begins_with_weights_of_its_own():
    torch.manual_seed(0)
    block = StateSpace(4, StateSpaceOptions(states=2))
    for weights in (block.x_proj_weight, block.dt_projs_weight, block.dt_projs_bias):
        for a, b in itertools.combinations(weights, 2):
            assert not torch.equal(a, b)


def test_first_rates_count_up_and_first_steps_lie_in_their_range():
    block = StateSpace(64, StateSpaceOptions(states=3))
    assert block.A_logs.shape == (6 * 128, 3)
    torch.testing.assert_close(block.A_logs[5].exp(), torch.tensor([1.0, 2.0, 3.0]))
    steps = functional.softplus(block.dt_projs_bias)
    low, high = STEP_RANGE
    assert steps.min() >= 0.99 * low
    assert steps.max() <= 1.01 * high
    # evenly on a logarithmic scale: half of them below the geometric mean
    assert 0.4 < (steps < (low * high) ** 0.5).float().mean() < 0.6


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("x_proj_weight", (4, 7, 8)),
        ("dt_projs_weight", (4, 8, 1)),
        ("dt_projs_bias", (4, 8)),
        ("A_logs", (32, 3)),
        ("Ds", (32,)),
    ],
)
def test_directions_of_images_become_directions_of_volumes(name, shape):
    block = StateSpace(4, StateSpaceOptions(states=3))
    weight = torch.randn(shape)
    row, column, row_back, column_back = weight.chunk(4)
    expected = [row, (row + column) / 2, column, row_back, (row_back + column_back) / 2]
    made = block.inflated(name, weight)
    assert made.shape == block.get_parameter(name).shape
    torch.testing.assert_close(made, torch.cat([*expected, column_back]))


def test_directions_of_images_stay_where_the_volume_is_read_as_they_are():
    block = StateSpace(4, StateSpaceOptions(states=3, scan_orders=("ijk", "ikj")))
    weight = torch.randn(4, 7, 8)
    assert torch.equal(block.inflated("x_proj_weight", weight), weight)


def test_other_weights_have_no_rule():
    block = StateSpace(4, StateSpaceOptions(states=3))
    assert torch.equal(block.inflated("out_proj.weight", torch.ones(4, 8)), torch.ones(4, 8))
    for shape in ((33,), (64,), (4, 8)):
        assert block.inflated("Ds", torch.ones(shape)) is None


@pytest.mark.parametrize(
    "orders", [("ijk", "ikj"), ("ikj", "ijk"), ("jik", "kij"), ("kij", "ijk", "ikj", "jik")]
)
def test_a_slice_is_answered_alike_in_whatever_order_its_directions_are_named(orders):
    torch.manual_seed(0)
    flat = StateSpace(4, StateSpaceOptions(states=2, kernel=(1, 3, 3), scan_orders=("ijk", "ikj")))
    for parameter in flat.parameters():
        torch.nn.init.normal_(parameter)
    block = StateSpace(4, StateSpaceOptions(states=2, kernel=(1, 3, 3), scan_orders=orders))
    state = {name: block.inflated(name, weight) for name, weight in flat.state_dict().items()}
    block.load_state_dict(state)
    tokens = torch.randn(1, 1, 4, 5, 4)
    torch.testing.assert_close(block(tokens), flat(tokens), rtol=1e-4, atol=1e-5)


def test_a_block_adds_to_its_tokens_what_it_makes_of_them_normalised():
    torch.manual_seed(0)
    block = StateSpaceBlock(4, StateSpaceOptions(states=1), drop_path=0.0)
    tokens = torch.randn(1, 2, 2, 2, 4)
    expected = tokens + block.mixer(functional.layer_norm(tokens, (4,)))
    torch.testing.assert_close(block(tokens), expected)


def test_checkpointing_changes_no_gradient():
    torch.manual_seed(0)
    options = StateSpaceOptions(states=2)
    stage = StateSpaceStage(4, options, drop_path=[0.0, 0.0], checkpointing=False)
    saving = copy.deepcopy(stage)
    saving.checkpointing = True
    tokens = torch.randn(2, 3, 2, 2, 4)
    for n in (stage, saving):
        n(tokens).square().sum().backward()
    for a, b in zip(stage.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_the_scan_is_exact_where_everything_else_is_bfloat16():
    torch.manual_seed(0)
    block = StateSpace(8, StateSpaceOptions(states=2))
    tokens = torch.randn(1, 3, 3, 3, 8)
    exact = block(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = block(tokens)
    assert mixed.dtype == torch.bfloat16
    assert (mixed.float() - exact).norm() / exact.norm() < 0.03
    summed = block.bfloat16().scan(torch.randn(1, 16, 2, 2, 2).bfloat16())
    assert summed.dtype == torch.float32


@pytest.mark.parametrize("option", ["states", "expand", "step_rank"])
def test_none_of_what_a_scan_needs_is_refused(option):
    with pytest.raises(ValueError, match=f"{option} must be a whole number above 0, got 0"):
        StateSpaceOptions(**{option: 0})
