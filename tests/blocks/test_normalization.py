"""Normalisation beside torch's own, which leaves the layout and keeps more."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from medseg.blocks import normalization
from medseg.blocks.normalization import add_activate_, normalize_activate_, normalize_groups


def features(*shape, dtype=torch.float64):
    x = 3 * torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0)) + 5
    return x.contiguous(memory_format=torch.channels_last_3d)


@pytest.fixture(params=[1 << 21, 64], ids=["one slab", "many slabs"])
def _slab(request, monkeypatch):
    monkeypatch.setattr(normalization, "SLAB", request.param)


@pytest.mark.usefixtures("_slab")
def test_normalisation_and_its_gradient_are_those_of_torch():
    x = features(2, 5, 4, 6, 7).requires_grad_()
    same = x.detach().clone().requires_grad_()
    expected = functional.leaky_relu(functional.instance_norm(x), 0.01)
    result = normalize_activate_(same * 1)
    torch.testing.assert_close(result, expected)
    towards = torch.randn_like(expected)
    expected.backward(towards)
    result.backward(towards)
    torch.testing.assert_close(same.grad, x.grad)


@pytest.mark.usefixtures("_slab")
@pytest.mark.parametrize("normalize_residual", [False, True])
def test_sum_and_its_gradients_are_those_of_torch(normalize_residual):
    x = features(2, 5, 4, 6, 7).requires_grad_()
    residual = features(2, 5, 4, 6, 7).square_().requires_grad_()
    pair = [t.detach().clone().requires_grad_() for t in (x, residual)]
    other = functional.instance_norm(residual) if normalize_residual else residual
    expected = functional.leaky_relu(functional.instance_norm(x) + other, 0.01)
    result = add_activate_(pair[0] * 1, pair[1], normalize_residual=normalize_residual)
    torch.testing.assert_close(result, expected)
    towards = torch.randn_like(expected)
    expected.backward(towards)
    result.backward(towards)
    torch.testing.assert_close(pair[0].grad, x.grad)
    torch.testing.assert_close(pair[1].grad, residual.grad)


def test_without_gradient_the_values_are_the_same():
    x = features(1, 5, 4, 6, 7)
    expected = functional.leaky_relu(functional.instance_norm(x), 0.01)
    twice = functional.leaky_relu(functional.instance_norm(x) + x, 0.01)
    torch.testing.assert_close(normalize_activate_(x.clone()), expected)
    torch.testing.assert_close(add_activate_(x.clone(), x, normalize_residual=False), twice)


def test_a_mean_far_from_zero_costs_no_digits():
    x = torch.randn(1, 3, 16, 16, 16, generator=torch.Generator().manual_seed(0)) + 1000
    exact = functional.leaky_relu(functional.instance_norm(x.double()), 0.01).float()
    result = normalize_activate_(x.contiguous(memory_format=torch.channels_last_3d))
    torch.testing.assert_close(result, exact, rtol=1e-3, atol=1e-3)


def test_a_single_voxel_becomes_zero():
    x = features(2, 3, 1, 1, 1).requires_grad_()
    result = normalize_activate_(x * 1)
    assert result.abs().max() < 1e-9  # but for rounding
    result.sum().backward()
    assert x.grad.abs().max() < 1e-9


def test_another_layout_is_refused():
    with pytest.raises(ValueError, match="channels_last_3d"):
        normalize_activate_(torch.zeros(1, 3, 4, 4, 4))


def test_groups_are_normalised_as_the_module_does_and_single_values_become_its_bias():
    norm = nn.GroupNorm(2, 4)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 4, 2, 3, 1)
    torch.testing.assert_close(normalize_groups(x, norm), norm(x))
    single = nn.GroupNorm(4, 4)
    nn.init.normal_(single.bias)
    result = normalize_groups(torch.randn(1, 4, 1, 1, 1), single)
    torch.testing.assert_close(
        result.flatten(), single.bias, rtol=0, atol=1e-4
    )  # 0 but for rounding


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-6)])
@pytest.mark.parametrize("normalize_residual", [False, True])
def test_compiled_loops_give_what_slabs_give(monkeypatch, normalize_residual, dtype, error):
    x, residual = features(2, 12, 4, 6, 7, dtype=dtype), features(2, 12, 4, 6, 7, dtype=dtype).neg()
    compiled = normalize_activate_(x.clone())
    added = add_activate_(x.clone(), residual, normalize_residual=normalize_residual)
    monkeypatch.setattr(normalization.voxels, "usable", lambda *_: False)
    plain = normalize_activate_(x.clone())
    torch.testing.assert_close(compiled, plain, rtol=error, atol=error)
    plain = add_activate_(x.clone(), residual, normalize_residual=normalize_residual)
    torch.testing.assert_close(added, plain, rtol=error, atol=2 * error)
