"""Sums and products over voxels, beside NumPy in double precision."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from medseg.blocks.fused import voxels

KINDS = {torch.float32: 1e-6, torch.bfloat16: 2**-8}


@pytest.fixture(autouse=True, params=[1 << 18, 64], ids=["one piece", "many pieces"])
def _share(request, monkeypatch):
    monkeypatch.setattr(voxels, "SHARE", request.param)


def case(features, count, dtype, seed=0):
    values = torch.randn(count, features, generator=torch.Generator().manual_seed(seed))
    return (values * 2 + 3).to(dtype).flatten()


def per_feature(features, seed):
    return torch.randn(features, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize(("features", "count"), [(48, 100), (5, 77), (12, 3), (20, 1)])
def test_sums_are_those_of_every_value(features, count, dtype):
    x, guess = case(features, count, dtype), per_feature(features, 1)
    deviation = x.double().view(count, features).numpy() - guess.double().numpy()
    total, square = voxels.sums(x, guess).numpy()
    assert total == pytest.approx(deviation.sum(0), rel=1e-5, abs=1e-4)
    assert square == pytest.approx((deviation**2).sum(0), rel=1e-5)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize(("features", "count"), [(48, 100), (5, 77), (12, 3)])
def test_values_are_scaled_shifted_added_rectified(features, count, dtype):
    x, other = case(features, count, dtype), case(features, count, dtype, seed=1)
    scale, factor, shift = (per_feature(features, n) for n in (2, 3, 4))
    a, b = (t.double().view(count, features) for t in (x, other))
    expected = functional.leaky_relu(a * scale + b * factor + shift, 0.1).flatten()
    out = torch.empty_like(x)
    given = {"scale": scale, "factor": factor, "shift": shift, "slope": 0.1}
    voxels.add_activate(out, x, other, **given)
    size = expected.abs().max().item()
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=KINDS[dtype] * size)
    alone = functional.leaky_relu(a * scale + shift, 0.1).flatten()
    voxels.scale_activate_(x, scale, shift, 0.1)
    torch.testing.assert_close(x.double(), alone, rtol=0, atol=KINDS[dtype] * size)


def test_what_the_loops_cannot_take_is_left_to_torch(monkeypatch):
    x = torch.zeros(4)
    assert voxels.usable(x, x)
    assert voxels.usable(torch.nn.Parameter(x))
    assert not voxels.usable(x.double())
    assert not voxels.usable(x, x.bfloat16())
    assert not voxels.usable(x.to("meta"))
    with FakeTensorMode():
        assert not voxels.usable(torch.zeros(4))
    monkeypatch.setattr(voxels, "import_error", lambda _: "numba is broken")
    assert not voxels.usable(x)


def test_an_array_shares_the_memory_of_its_tensor():
    x = torch.tensor([1.0, -2.0], dtype=torch.bfloat16, requires_grad=True)
    shown = voxels.array(x)
    assert shown.dtype == np.int16
    shown[0] = 0x4000  # the bits of 2.0
    assert x.tolist() == [2.0, -2.0]
