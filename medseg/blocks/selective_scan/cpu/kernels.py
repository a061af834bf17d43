"""The compiled loops of the scan: sixteen channels side by side, a few steps at a time.

A tile is sixteen channels of one group, and a chunk `STEPS` steps of them, small enough to stay in
the nearest caches. Within a chunk the channels are the innermost axis, so that a register holds one
state of several channels, and no sum runs across a register but for the gradients of B and C.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, no_type_check

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache

from medseg.blocks.selective_scan.cpu.lanes import (
    LN_2,
    LOG2_E,
    WIDTH,
    exp2,
    load,
    softplus,
    splat,
    store,
    total,
)

if numba.config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set, so that nothing is compiled; unset it")

STEPS = 64
"""Steps of a chunk; the states are kept where chunks begin."""

U, STEP, DRIVE, Y, OF_DRIVE, OF_STEP, SLOPE = range(7)
"""Planes of `rows`: u, Δ, Δu, y or its gradient, other gradients, the slope of softplus."""

STATE, RATE, OF_RATE = range(3)
"""Planes of `carry`: a state or its gradient, A in powers of two, the gradient of that."""

INTO, FROM = range(2)
"""Planes of `shared`: B and C."""

DECAY, BEFORE = range(2)
"""Planes of `past`: exp(ΔA), and the state before the step."""

WEIGHT, SHIFT = range(2)
"""Rows of `constants` and of their gradients: D, and the bias of delta."""

ZERO, ONE, LN2 = np.float32(0), np.float32(1), np.float32(LN_2)


def fingerprint(*texts: bytes) -> str:
    """Return what tells the compiled code of these sources from that of others."""
    versions = f"numba {numba.__version__}, llvmlite {llvmlite.__version__}"
    return hashlib.sha256(b"\0".join([versions.encode(), *texts])).hexdigest()


_FOLDERS = (Path(__file__).parent, Path(__file__).parents[2] / "fused")
SOURCES = fingerprint(*(p.read_bytes() for f in _FOLDERS for p in sorted(f.glob("*.py"))))
"""Of all files whose functions are compiled into those of others; numba itself watches a function's
own file alone."""


class Kept(FunctionCache):  # type: ignore[misc]  # numba's types are seen where it is installed
    """Compiled code on disk, until a source or the compiler changes.

    A disk that is full or cannot be written to costs the next run its time, and nothing else.
    """

    def _index_key(self, *arguments: Any) -> tuple[Any, ...]:
        """Add the sources to what numba finds compiled code by."""
        return (*super()._index_key(*arguments), SOURCES)

    @contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        """Go on without what cannot be read, and keep nothing that cannot be written."""
        try:
            yield
        except OSError:
            self.disable()


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called; keep it on disk if there is a place for it."""
    dispatcher = numba.njit(error_model="numpy", nogil=True)(function)
    with suppress(RuntimeError):  # neither the package's folder nor the user's can be written to
        dispatcher._cache = Kept(function)  # noqa: SLF001  as njit(cache=True), which has its own
    return dispatcher


@compiled
@no_type_check
def gather(rows, row, sequence, first, count, start, stop):
    """Copy a chunk of some channels into a row of each step; the other channels are 0."""
    for i in range(count):
        for t in range(start, stop):
            rows[row, t - start, i] = sequence[first + i, t]
    for i in range(count, WIDTH):
        for t in range(stop - start):
            rows[row, t, i] = ZERO


@compiled
@no_type_check
def scatter(sequence, rows, row, first, count, start, stop):
    """Copy a row of each step back."""
    for i in range(count):
        for t in range(start, stop):
            sequence[first + i, t] = rows[row, t - start, i]


@compiled
@no_type_check
def share(shared, B, C, start, steps):
    """Copy a chunk of B and C, so that the states of one step lie side by side."""
    for n in range(len(B)):
        for t in range(steps):
            shared[INTO, t, n] = B[n, start + t]
            shared[FROM, t, n] = C[n, start + t]


@compiled
@no_type_check
def prepare(rows, constants, steps, curved):
    """Compute Δ, its slope and Δu of a chunk."""
    for t in range(steps):
        step, slope = load(rows, (STEP, t)) + load(constants, (SHIFT,)), splat(ONE)
        if curved:
            step, slope = softplus(step)
        store(rows, (STEP, t), step)
        store(rows, (SLOPE, t), slope)
        store(rows, (DRIVE, t), step * load(rows, (U, t)))


@compiled
@no_type_check
def advance(rows, carry, constants, shared, steps):
    """Carry the states through a chunk and compute y."""
    for t in range(steps):
        step, drive = load(rows, (STEP, t)), load(rows, (DRIVE, t))
        y = load(constants, (WEIGHT,)) * load(rows, (U, t))
        for n in range(carry.shape[1]):
            decay = exp2(step * load(carry, (RATE, n)))
            state = decay * load(carry, (STATE, n)) + drive * splat(shared[INTO, t, n])
            store(carry, (STATE, n), state)
            y = y + state * splat(shared[FROM, t, n])
        store(rows, (Y, t), y)


@compiled
@no_type_check
def replay(past, rows, carry, boundary, B, start, steps):
    """Compute the states of a chunk again, and keep them."""
    for n in range(carry.shape[1]):
        store(past, (BEFORE, 0, n), load(boundary, (n,)))
    for t in range(steps):
        step, drive = load(rows, (STEP, t)), load(rows, (DRIVE, t))
        for n in range(carry.shape[1]):
            decay = exp2(step * load(carry, (RATE, n)))
            state = decay * load(past, (BEFORE, t, n)) + drive * splat(B[start + t, n])
            store(past, (DECAY, t, n), decay)
            store(past, (BEFORE, t + 1, n), state)


@compiled
@no_type_check
def retreat(rows, carry, past, B, C, of_B, of_C, start, steps):
    """Carry the gradient of the states back through a chunk."""
    for t in range(steps - 1, -1, -1):
        step, drive, of_y = load(rows, (STEP, t)), load(rows, (DRIVE, t)), load(rows, (Y, t))
        of_drive, of_step = splat(ZERO), splat(ZERO)
        for n in range(carry.shape[1]):
            of_state = load(carry, (STATE, n)) + of_y * splat(C[start + t, n])
            of_C[start + t, n] += total(of_y * load(past, (BEFORE, t + 1, n)))
            of_B[start + t, n] += total(of_state * drive)
            of_drive = of_drive + of_state * splat(B[start + t, n])
            decayed = load(past, (DECAY, t, n)) * of_state
            store(carry, (STATE, n), decayed)
            of_exponent = decayed * load(past, (BEFORE, t, n))
            store(carry, (OF_RATE, n), load(carry, (OF_RATE, n)) + of_exponent * step)
            of_step = of_step + of_exponent * load(carry, (RATE, n))
        store(rows, (OF_DRIVE, t), of_drive)
        store(rows, (OF_STEP, t), of_step * splat(LN2))


@compiled
@no_type_check
def conclude(rows, constants, of_constants, steps):
    """Turn what came back into the gradients of u and delta; add those of D and the bias up."""
    of_weight, of_shift = splat(ZERO), splat(ZERO)
    weight = load(constants, (WEIGHT,))
    for t in range(steps):
        u, of_y, of_drive = load(rows, (U, t)), load(rows, (Y, t)), load(rows, (OF_DRIVE, t))
        of_delta = (of_drive * u + load(rows, (OF_STEP, t))) * load(rows, (SLOPE, t))
        store(rows, (OF_STEP, t), of_delta)
        store(rows, (OF_DRIVE, t), of_drive * load(rows, (STEP, t)) + weight * of_y)
        of_weight = of_weight + of_y * u
        of_shift = of_shift + of_delta
    store(of_constants, (WEIGHT,), of_weight)
    store(of_constants, (SHIFT,), of_shift)


@compiled
@no_type_check
def load_constants(constants, carry, A, D, bias, first, count):
    """Fetch what does not change with time, and begin with states of 0."""
    constants[:] = ZERO
    carry[:] = ZERO
    for i in range(count):
        constants[WEIGHT, i] = D[first + i]
        constants[SHIFT, i] = bias[first + i]
        for n in range(carry.shape[1]):
            carry[RATE, n, i] = A[first + i, n] * np.float32(LOG2_E)


@compiled
@no_type_check
def forward(y, boundaries, u, delta, A, B, C, D, bias, first, last, curved):
    """Scan the channels from `first` to `last` of one sample, which share B and C.

    Args:
        y: Written, (channels, length).
        boundaries: The states at the beginning of each chunk, written unless it is empty,
            (tiles, chunks, states, WIDTH).
        u: Input, (channels, length).
        delta: Step before softplus, (channels, length).
        A: (channels, states).
        B: (states, length).
        C: (states, length).
        D: (channels,).
        bias: (channels,).
        first: The first of the channels.
        last: The one behind the last of them.
        curved: Whether the step is softplus of `delta`.
    """
    length, tiles = u.shape[1], range(first, last, WIDTH)
    rows = np.empty((7, STEPS, WIDTH), np.float32)
    carry = np.empty((len(tiles), 3, A.shape[1], WIDTH), np.float32)
    shared = np.empty((2, STEPS, A.shape[1]), np.float32)
    constants = np.empty((len(tiles), 2, WIDTH), np.float32)
    for tile, base in enumerate(tiles):
        load_constants(constants[tile], carry[tile], A, D, bias, base, min(WIDTH, last - base))
    for chunk, start in enumerate(range(0, length, STEPS)):
        stop = min(start + STEPS, length)
        share(shared, B, C, start, stop - start)
        for tile, base in enumerate(tiles):
            count = min(WIDTH, last - base)
            if boundaries.size:
                boundaries[tile, chunk] = carry[tile, STATE]
            gather(rows, U, u, base, count, start, stop)
            gather(rows, STEP, delta, base, count, start, stop)
            prepare(rows, constants[tile], stop - start, curved)
            advance(rows, carry[tile], constants[tile], shared, stop - start)
            scatter(y, rows, Y, base, count, start, stop)


@compiled
@no_type_check
def backward(gradients, boundaries, of_y, u, delta, A, B, C, D, bias, first, last, curved):
    """Compute the gradients of what `forward` was given.

    Args:
        gradients: Those of u, delta, A, B, C, D and the bias, in the same shapes; of B and C what
            these channels contribute is added, the others are written.
        boundaries: What `forward` kept.
        of_y: The gradient of y, (channels, length).
        u: As in `forward`, and so are the others but B and C.
        delta: Step before softplus.
        A: Rates.
        B: What enters the states, (length, states): all of one step side by side.
        C: What leaves them, (length, states).
        D: Weight of the input.
        bias: Of `delta`.
        first: The first of the channels.
        last: The one behind the last of them.
        curved: Whether the step is softplus of `delta`.
    """
    of_u, of_delta, of_A, of_B, of_C, of_D, of_bias = gradients
    length, states = u.shape[1], A.shape[1]
    rows = np.empty((7, STEPS, WIDTH), np.float32)
    carry = np.empty((3, states, WIDTH), np.float32)
    past = np.empty((2, STEPS + 1, states, WIDTH), np.float32)
    constants, of_constants = np.empty((2, 2, WIDTH), np.float32)
    for tile, base in enumerate(range(first, last, WIDTH)):
        count = min(WIDTH, last - base)
        load_constants(constants, carry, A, D, bias, base, count)
        # Sums over all steps are taken chunk by chunk; in float32 they would lose digits.
        sums, of_rate = np.zeros((2, WIDTH)), np.zeros((states, WIDTH))
        for chunk in range((length - 1) // STEPS, -1, -1):
            start, stop = chunk * STEPS, min(chunk * STEPS + STEPS, length)
            gather(rows, U, u, base, count, start, stop)
            gather(rows, STEP, delta, base, count, start, stop)
            gather(rows, Y, of_y, base, count, start, stop)
            prepare(rows, constants, stop - start, curved)
            carry[OF_RATE] = ZERO
            replay(past, rows, carry, boundaries[tile, chunk], B, start, stop - start)
            retreat(rows, carry, past, B, C, of_B, of_C, start, stop - start)
            conclude(rows, constants, of_constants, stop - start)
            sums += of_constants
            of_rate += carry[OF_RATE]
            scatter(of_u, rows, OF_DRIVE, base, count, start, stop)
            scatter(of_delta, rows, OF_STEP, base, count, start, stop)
        store_sums(of_A, of_D, of_bias, of_rate, sums, base, count)


@compiled
@no_type_check
def store_sums(of_A, of_D, of_bias, of_rate, sums, first, count):
    """Write the gradients of what does not change with time."""
    for i in range(count):
        of_D[first + i] = sums[WEIGHT, i]
        of_bias[first + i] = sums[SHIFT, i]
        for n in range(len(of_rate)):
            of_A[first + i, n] = of_rate[n, i]
