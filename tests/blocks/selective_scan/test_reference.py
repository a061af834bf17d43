"""The plain scan beside a sequential one in float64, and beside finite differences."""

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st


@pytest.mark.parametrize(("states", "groups"), [(1, 1), (16, 1), (5, 3)])
@pytest.mark.parametrize("length", [1, 2, 63, 300])
def test_values_and_gradients_are_those_of_the_definition(make, agrees, length, states, groups):
    agrees("reference", make(length=length, states=states, groups=groups))


@settings(max_examples=20)
@drawn(
    batch=st.integers(1, 3),
    width=st.integers(1, 3),
    groups=st.integers(1, 3),
    states=st.integers(1, 5),
    length=st.integers(1, 20),
    optional=st.booleans(),
    softplus=st.booleans(),
)
def test_any_shape_is_exact_in_double_precision(
    make, positive, agrees, batch, width, groups, states, length, optional, softplus
):
    inputs = make(batch, width * groups, length, states, groups, optional=optional)
    if not softplus:
        inputs = positive(inputs)
    agrees("reference", inputs.change(torch.Tensor.double), softplus=softplus, tolerance=1e-12)


def test_gradients_are_those_of_finite_differences(make):
    inputs = make(1, 4, 5, 3, 2).change(torch.Tensor.double)
    names = list(inputs.named())
    leaves = [t.requires_grad_() for t in inputs.named().values()]

    def scan(*tensors):
        return type(inputs)(**dict(zip(names, tensors, strict=True))).scan("reference")

    assert torch.autograd.gradcheck(scan, leaves)


def test_large_steps_stay_finite(make, agrees):
    agrees("reference", make(length=200, step=30.0))


def test_narrow_inputs_are_computed_in_single_precision(make):
    inputs = make(length=200)
    narrow = inputs.change(torch.Tensor.bfloat16)
    y = narrow.scan("reference")
    assert y.dtype == torch.bfloat16
    wide = narrow.change(torch.Tensor.float).scan("reference")
    assert torch.equal(y, wide.bfloat16())


@pytest.mark.slow
def test_a_whole_volume_is_scanned(make, agrees):
    agrees("reference", make(1, 3, 32768, 16))
