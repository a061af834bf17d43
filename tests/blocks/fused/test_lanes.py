"""Sixteen numbers at a time, beside NumPy and torch."""

import numpy as np
import pytest
import torch

from medseg.blocks.fused.lanes import (
    fetch,
    fetch_some,
    greater,
    highest,
    prefetch,
    products,
    put,
    put_some,
)
from medseg.blocks.selective_scan.cpu.kernels import compiled


@compiled
def copy(out, x, start):
    put(out, start, fetch(x, start))


@compiled
def maxima(out, a, b):
    put(out, 0, greater(fetch(a, 0), fetch(b, 0)))
    out[16] = highest(fetch(a, 0))


multiply = products(3, 2)


@compiled
def product(out, start, a, b):
    multiply(out, 1, 32, start, 0, 0, a, 2, 7, b, 0, 32, 5)


def bits(tensor):
    return tensor.view(torch.int16).numpy()


def test_float32_is_rounded_to_bfloat16_as_torch_rounds():
    given = torch.randn(16, generator=torch.Generator().manual_seed(0)) * 1e3
    ties = torch.tensor(
        [1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 1 + 2**-8 + 2**-20], dtype=given.dtype
    )
    extremes = torch.tensor([torch.inf, -torch.inf, 3.4e38, -3.4e38, 0.0, -0.0, 1e-40, 1e-38])
    for x in (given, torch.cat([ties, extremes, ties])):
        out = torch.zeros(16, dtype=torch.bfloat16)
        copy(bits(out), x.numpy(), 0)
        assert torch.equal(out.view(torch.int16), x.bfloat16().view(torch.int16))


def test_what_is_not_a_number_stays_so():
    x = torch.tensor([torch.nan] * 8 + [1.0] * 8)
    x.view(torch.int32)[0] = 0x7FFFFFFF  # adding to these bits would make a zero of them
    out = torch.zeros(16, dtype=torch.bfloat16)
    copy(bits(out), x.numpy(), 0)
    assert out.isnan().tolist() == [True] * 8 + [False] * 8


def test_bfloat16_comes_back_as_it_was_and_nothing_else_is_written():
    given = torch.randn(40, generator=torch.Generator().manual_seed(1)).bfloat16()
    wide, narrow = torch.zeros(40), torch.zeros(40, dtype=torch.bfloat16)
    copy(wide.numpy(), bits(given), 7)
    copy(bits(narrow), bits(given), 7)
    for out in (wide, narrow):
        assert torch.equal(out[7:23].float(), given[7:23].float())
        assert not out[:7].any()
        assert not out[23:].any()


def test_greater_and_highest():
    a = np.arange(16, dtype=np.float32)[::-1].copy()
    b = np.full(16, 9.5, np.float32)
    out = np.zeros(17, np.float32)
    maxima(out, a, b)
    assert out[:16].tolist() == [15.0, 14.0, 13.0, 12.0, 11.0, 10.0] + [9.5] * 10
    assert out[16] == 15.0


def test_a_product_is_that_of_matrices(rng):
    a, b = rng.normal(size=(4, 7)), rng.normal(size=(5, 32))
    start = rng.normal(size=32)
    out = np.zeros(1 + 3 * 32, np.float32)
    product(out, *(t.astype(np.float32).ravel() for t in (start, a, b)))
    expected = start + a[:3, 2:] @ b
    assert out[0] == 0.0
    assert out[1:].reshape(3, 32) == pytest.approx(expected, abs=1e-5)


@compiled
def copy_some(out, x, start, mask):
    prefetch(x, start + 1000)
    put_some(out, start, mask, fetch_some(x, start, mask))


def test_of_sixteen_only_those_of_the_mask_are_read_and_written():
    given = torch.arange(40.0) + 1
    chosen = [7, 8, 11, 22]
    mask = sum(1 << (n - 7) for n in chosen)
    wide, narrow = torch.zeros(40), torch.zeros(40, dtype=torch.bfloat16)
    copy_some(wide.numpy(), given.numpy(), 7, mask)
    copy_some(bits(narrow), bits(given.bfloat16()), 7, mask)
    for out in (wide, narrow):
        assert out.nonzero().flatten().tolist() == chosen
        assert out[chosen].tolist() == [8.0, 9.0, 12.0, 23.0]


@compiled
def read_some(out, x, start, mask):
    put(out, 0, fetch_some(x, start, mask))


def test_what_the_mask_leaves_out_is_zero_even_before_the_first_number():
    out = np.full(16, 9, np.float32)
    read_some(out, np.arange(1, 5, dtype=np.float32), -14, 0b1100_0000_0000_0000)
    assert out.tolist() == [0.0] * 14 + [1.0, 2.0]
