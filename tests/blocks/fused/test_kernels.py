"""The compiled loops keep to the part that they were given."""

import numpy as np
import torch

from medseg.blocks.fused import kernels

SLOPE = kernels.number(0.5)


def test_sums_are_of_the_periods_from_start_to_stop():
    x = np.arange(10 * 16, dtype=np.float32)
    sums, guess = np.empty((2, 16)), np.full(16, 2.0, np.float32)
    kernels.measure(x, sums, guess, 3, 6)
    part = x.reshape(10, 16)[3:6].astype(np.float64) - 2
    assert (sums[0] == part.sum(0)).all()
    assert (sums[1] == (part**2).sum(0)).all()


def test_more_periods_than_are_added_up_at_once_lose_nothing():
    count = 2 * kernels.ROWS + 5
    x = np.ones(count * 16, np.float32)
    sums = np.empty((2, 16))
    kernels.measure(x, sums, np.zeros(16, np.float32), 0, count)
    assert (sums == count).all()


def test_values_outside_the_part_stay():
    x = np.full(4 * 16, -2.0, np.float32)
    ones, shift = np.ones(16, np.float32), np.full(16, -1.0, np.float32)
    kernels.scale_activate(x, ones, shift, SLOPE, 1, 3)
    assert x.reshape(4, 16)[:, 0].tolist() == [-2.0, -1.5, -1.5, -2.0]  # half of -3


def test_bfloat16_sums_are_rounded_once():
    a, b = (torch.full((16,), n, dtype=torch.bfloat16) for n in (1.0, 2**-9))
    out = torch.empty_like(a)
    arrays = [t.view(torch.int16).numpy() for t in (out, a, b)]
    one, shift = np.ones(16, np.float32), np.full(16, 2**-8, np.float32)
    kernels.add_activate(*arrays, one, shift, one, SLOPE, 0, 1)
    assert out.tolist() == [1 + 2**-7] * 16  # 1 + 3/512; rounded after the shift it would be 1
