"""Sixteen numbers at once beside numpy in float64."""

import numba
import numpy as np
import pytest

from medseg.blocks.selective_scan.cpu import lanes
from medseg.blocks.selective_scan.cpu.lanes import WIDTH


@numba.njit
def apply_exp2(given, result):
    for row in range(len(given)):
        lanes.store(result, (row,), lanes.exp2(lanes.load(given, (row,))))


@numba.njit
def apply_softplus(given, result):
    for row in range(len(given)):
        value, slope = lanes.softplus(lanes.load(given, (row,)))
        lanes.store(result, (0, row), value)
        lanes.store(result, (1, row), slope)


@numba.njit
def apply_total(given):
    return lanes.total(lanes.load(given, ()))


@numba.njit
def calculate(a, b, c, result):
    x, y = lanes.load(a, ()), lanes.load(b, ())
    lanes.store(result, (), (x + y) * (x - y) / lanes.splat(c))


def rows(numbers):
    return np.resize(np.asarray(numbers, np.float32), (-(-len(numbers) // WIDTH), WIDTH))


def test_powers_of_two_are_right_to_the_last_digit():
    given = rows(np.linspace(-126, 127, 160001))
    result = np.empty_like(given)
    apply_exp2(given, result)
    assert result == pytest.approx(np.exp2(given.astype(np.float64)), rel=1.2e-7, abs=0)


def test_powers_of_two_at_the_ends_of_the_range():
    given = rows([-np.inf, -1e30, -127, -126, -0.0, 0, 1, 127, 128, 1e30, np.inf])
    result = np.empty_like(given)
    apply_exp2(given, result)
    expected = [0, 0, 0, 2.0**-126, 1, 1, 2, 2.0**127, np.inf, np.inf, np.inf]
    assert result[0, :11].tolist() == expected


def test_powers_of_two_near_the_greatest_number():
    given = rows(np.linspace(127, 128, 4097)[:-1])
    result = np.empty_like(given)
    apply_exp2(given, result)
    finite = given < 127.5
    expected = np.exp2(given[finite].astype(np.float64))
    assert result[finite] == pytest.approx(expected, rel=1.2e-7, abs=0)
    assert np.isposinf(result[~finite]).all()


def test_what_is_not_a_number_stays_so():
    given = rows([np.nan])
    result = np.empty_like(given)
    apply_exp2(given, result)
    assert np.isnan(result).all()
    both = np.empty((2, *given.shape), np.float32)
    apply_softplus(given, both)
    assert np.isnan(both[0]).all()


def test_softplus_and_its_slope_are_right_also_where_they_are_small():
    given = rows(np.linspace(-87, 60, 160001))
    result = np.empty((2, *given.shape), np.float32)
    apply_softplus(given, result)
    x = given.astype(np.float64)
    assert result[0] == pytest.approx(np.log1p(np.exp(x)), rel=5e-6, abs=0)
    assert result[1] == pytest.approx(1 / (1 + np.exp(-x)), rel=5e-6, abs=0)
    near = np.abs(x) < 5
    assert result[0][near] == pytest.approx(np.log1p(np.exp(x[near])), rel=4e-7, abs=0)
    assert np.array_equal(result[0][x > 20], given[x > 20])
    assert (result[1][x > 20] == 1).all()


def test_sixteen_numbers_are_added_up():
    assert apply_total(np.arange(16, dtype=np.float32)) == 120


def test_arithmetic_is_that_of_each_number():
    a, b = np.arange(16, dtype=np.float32), np.full(16, 3, np.float32)
    result = np.empty(16, np.float32)
    calculate(a, b, np.float32(2), result)
    assert np.array_equal(result, (a * a - 9) / 2)
