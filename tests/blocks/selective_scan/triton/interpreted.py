"""The kernels beside a sequential scan in float64, run by Triton's interpreter.

`test_kernels.py` runs this in a process of its own, in which Triton has been told to interpret.
"""

import pytest
import torch

from medseg.blocks.selective_scan import triton as backend


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Cut into small pieces: what is interpreted is slow."""
    for name, size in {"STEPS": 16, "BLOCK": 4, "CHUNKS_AT_ONCE": 2, "PROGRAMS": 8}.items():
        monkeypatch.setattr(backend, name, size)


@pytest.mark.parametrize("states", [1, 3])
@pytest.mark.parametrize("length", [1, 16, 17, 32, 150])
def test_values_and_gradients_are_those_of_the_definition(make, agrees, states, length):
    agrees("triton", make(1, 3, length, states))


def test_sixteen_states(make, agrees):
    agrees("triton", make(1, 2, 17, 16))


@pytest.mark.parametrize("groups", [1, 5])
def test_groups_have_a_B_and_a_C_each(make, agrees, groups):  # noqa: N802  the paper's letters
    agrees("triton", make(2, 10, 18, 2, groups))


@pytest.mark.parametrize("optional", [True, False])
@pytest.mark.parametrize("softplus", [True, False])
def test_what_is_optional_and_softplus_are_independent(make, positive, agrees, softplus, optional):
    inputs = make(2, 3, 18, 2, optional=optional)
    agrees("triton", inputs if softplus else positive(inputs), softplus=softplus)


@pytest.mark.parametrize("softplus", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (1, 1, 33, 1, 1), (2, 1, 1, 3, 1)])
def test_any_size_may_be_one(make, positive, agrees, shape, softplus):
    inputs = make(*shape)
    agrees("triton", inputs if softplus else positive(inputs), softplus=softplus)


def test_large_steps_stay_finite(make, agrees):
    agrees("triton", make(1, 3, 25, 2, step=30.0))


def test_steps_of_every_size_in_one_sequence(make, agrees):
    inputs = make(1, 2, 40, 2)
    inputs.delta = torch.linspace(-30, 60, 40).expand(1, 2, 40) + inputs.delta
    agrees("triton", inputs)


def test_memory_need_not_be_contiguous(make, agrees):
    inputs = make(2, 3, 18, 2).change(lambda t: torch.stack([t, t], -1)[..., 0])
    agrees("triton", inputs)


def test_narrow_inputs_are_computed_in_single_precision(make):
    narrow = make(1, 3, 25, 2).change(torch.Tensor.bfloat16)
    y, gradients = narrow.scan_and_gradients("triton", torch.ones_like(narrow.u))
    wide = narrow.change(torch.Tensor.float)
    expected, expected_gradients = wide.scan_and_gradients("reference", torch.ones_like(wide.u))
    torch.testing.assert_close(y, expected.bfloat16(), rtol=1e-2, atol=1e-4)
    for name, gradient in gradients.items():
        assert gradient.dtype == torch.bfloat16
        wanted = expected_gradients[name]
        far = (gradient.float() - wanted).abs().max()
        assert far <= 2**-6 * wanted.abs().max()  # the interpreter rounds towards 0


def test_gradients_are_the_same_in_every_run(make):
    inputs = make(1, 5, 20, 2)
    weights = torch.randn(inputs.u.shape)
    _, first = inputs.scan_and_gradients("triton", weights)
    _, again = inputs.scan_and_gradients("triton", weights)
    assert all(torch.equal(first[name], again[name]) for name in first)
