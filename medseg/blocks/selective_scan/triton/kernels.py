"""The kernels of the scan: time is cut into chunks, and a program scans some channels of one.

Each state's recurrence h_t = a_t h_{t-1} + b_t is a prefix sum under (a, b)∘(c, d) = (ca, cb + d),
which the threads of a program compute together; a program holds all steps of its chunk in registers
and takes one state after the other. What is masked has Δ = 0, which changes no state.

`chunk`, `tile` and `sample` number the chunks of time, the blocks of channels that lie in one
group, and the batch. Sequences are (batch, channels, length), B and C (batch, groups, states,
length), what is kept of a chunk (batch, chunks, channels, states); all are contiguous.
"""

from typing import no_type_check

import triton
import triton.language as tl

LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
@no_type_check
def compose(a, b, c, d):
    """Apply (a, b), then (c, d)."""
    return a * c, b * c + d


@triton.jit
@no_type_check
def softplus(x):
    """Compute log(1 + exp(x)) and its slope, exactly where exp(x) is small, too.

    With s = z/(2+z), log(1+z) is 2 artanh(s), an odd polynomial fitted to 1e-10 of it.
    """
    z = tl.exp(-tl.abs(x))
    s = z / (2 + z)
    s2 = s * s
    series = 0.286165992817228 + s2 * (0.214307099814532 + s2 * 0.242896847944968)
    series = 2 + s2 * (0.666666755011559 + s2 * (0.399988882735601 + s2 * series))
    return tl.maximum(x, 0) + s * series, tl.where(x < 0, z, 1.0) / (1 + z)


@triton.jit
@no_type_check
def channels_of(tile, channels, groups, BLOCK: tl.constexpr):
    """Return the group of a tile, its channels, and which of them there are."""
    width = channels // groups
    tiles = tl.cdiv(width, BLOCK)
    inside = (tile % tiles) * BLOCK + tl.arange(0, BLOCK)
    return tile // tiles, (tile // tiles) * width + inside, inside < width


@triton.jit
@no_type_check
def load_step(delta, bias, there, places, mask, CURVED: tl.constexpr):
    """Load Δ and its slope; Δ is 0 where masked."""
    shift = tl.load(bias, mask=there, other=0)[:, None]
    raw = tl.load(delta + places, mask=mask, other=0).to(tl.float32) + shift
    slope = tl.full(raw.shape, 1.0, tl.float32)
    if CURVED:
        raw, slope = softplus(raw)
    return tl.where(mask, raw, 0), slope


@triton.jit
@no_type_check
def summarise(
    local, total, first, delta, rates, shared, bias, channels, states, length, groups,
    CURVED: tl.constexpr, REVERSE: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Compute what a chunk adds to the states, and the sum of its Δ.

    Forwards, `first` is u and `shared` B: the state after a chunk that began with 0. In reverse,
    `first` is the gradient of y and `shared` C: the gradient of the state before the chunk, if none
    came from behind. A step's part decays by the sum of the Δ between it and the chunk's end, so no
    step waits for another.
    """
    chunk, tile, sample = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    group, channel, there = channels_of(tile, channels, groups, BLOCK)
    t = chunk * STEPS + tl.arange(0, STEPS)
    rows = (sample * channels + channel)[:, None] * length
    mask = there[:, None] & (t < length)[None, :]
    step, _ = load_step(delta, bias + channel, there, rows + t[None, :], mask, CURVED)
    value = tl.load(first + rows + t[None, :], mask=mask, other=0).to(tl.float32)
    if REVERSE:
        between = tl.cumsum(step, 1)
    else:
        # Loaded one step ahead: a sum without the step itself, without a difference of sums.
        ahead = mask & ((tl.arange(0, STEPS) < STEPS - 1) & (t + 1 < length))[None, :]
        later, _ = load_step(delta, bias + channel, there, rows + t[None, :] + 1, ahead, CURVED)
        between = tl.cumsum(later, 1, reverse=True)
        value = value * step
    kept = (sample * tl.num_programs(0) + chunk) * channels + channel
    tl.store(total + kept, tl.sum(step, 1), mask=there)
    line = shared + (sample * groups + group) * states * length + t
    for n in range(states):
        rate = tl.load(rates + channel * states + n, mask=there, other=0)
        weight = tl.load(line, mask=t < length, other=0).to(tl.float32)
        line += length  # step by step: the product may be too large for 32 bits
        part = tl.exp2(between * rate[:, None]) * value * weight[None, :]
        tl.store(local + kept * states + n, tl.sum(part, 1), mask=there)


@triton.jit
@no_type_check
def carry(
    boundary, local, total, rates, chunks, size, states,
    REVERSE: tl.constexpr, BLOCK: tl.constexpr, MANY: tl.constexpr,
):  # fmt: skip
    """Carry states from chunk to chunk: `boundary` gets the one that each chunk begins with.

    `size` is channels times states. In reverse time runs backwards, and a chunk begins at its end.
    """
    sample = tl.program_id(1).to(tl.int64)
    element = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = element < size
    rate = tl.load(rates + element, mask=there, other=0)
    state = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, chunks, MANY):
        order = start + tl.arange(0, MANY)
        chunk = chunks - 1 - order if REVERSE else order
        mask = (order < chunks)[:, None] & there[None, :]
        row = (sample * chunks + chunk)[:, None]
        gone = tl.load(
            total + row * (size // states) + element[None, :] // states, mask=mask, other=0
        )
        added = tl.load(local + row * size + element[None, :], mask=mask, other=0)
        decay = tl.exp2(gone * rate[None, :])
        begin = (tl.arange(0, MANY) == 0)[:, None]
        added = tl.where(begin, added + decay * state[None, :], added)
        _, after = tl.associative_scan((decay, added), 0, compose)
        neighbour = row - 1 if REVERSE else row + 1
        mask = (order + 1 < chunks)[:, None] & there[None, :]
        tl.store(boundary + neighbour * size + element[None, :], after, mask=mask)
        end = (tl.arange(0, MANY) == MANY - 1)[:, None]
        state = tl.sum(tl.where(end, after, 0), 0)


@triton.jit
@no_type_check
def scan_chunk(
    y, boundary, u, delta, rates, B, C, D, bias, channels, states, length, groups,
    CURVED: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Compute y of a chunk, whose first state is known."""
    chunk, tile, sample = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    group, channel, there = channels_of(tile, channels, groups, BLOCK)
    t = chunk * STEPS + tl.arange(0, STEPS)
    begin = (tl.arange(0, STEPS) == 0)[None, :]
    places = (sample * channels + channel)[:, None] * length + t[None, :]
    mask = there[:, None] & (t < length)[None, :]
    step, _ = load_step(delta, bias + channel, there, places, mask, CURVED)
    value = tl.load(u + places, mask=mask, other=0).to(tl.float32)
    out = tl.load(D + channel, mask=there, other=0)[:, None] * value
    drive = step * value
    kept = ((sample * tl.num_programs(0) + chunk) * channels + channel) * states
    line = (sample * groups + group) * states * length + t
    for n in range(states):
        rate = tl.load(rates + channel * states + n, mask=there, other=0)
        state = tl.load(boundary + kept + n, mask=there, other=0)
        into = tl.load(B + line, mask=t < length, other=0).to(tl.float32)
        from_ = tl.load(C + line, mask=t < length, other=0).to(tl.float32)
        line += length
        decay = tl.exp2(step * rate[:, None])
        added = drive * into[None, :] + tl.where(begin, decay * state[:, None], 0)
        _, h = tl.associative_scan((decay, added), 1, compose)
        out += h * from_[None, :]
    tl.store(y + places, out, mask=mask)


@triton.jit
@no_type_check
def scan_chunk_back(
    of_u, of_delta, of_rates, of_B, of_C, of_D, of_bias,
    boundary, of_boundary, of_y, u, delta, rates, B, C, D, bias,
    channels, states, length, groups, splits,
    CURVED: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of a chunk, whose first state and whose last gradient are known.

    A program takes every `splits`-th tile of its group in turn, and adds their gradients of B and C
    up where no other program writes: (splits, batch, groups, states, length), 0 at first. Those of
    the rates, D and the bias are left to be added up over batch and chunks.
    """
    chunk, part, sample = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    group, split = part // splits, part % splits
    tiles = tl.cdiv(channels // groups, BLOCK)
    line = (sample * groups + group) * states * length
    own = ((split * tl.num_programs(2) + sample) * groups + group) * states * length
    for tile in range(split, tiles, splits):
        tile_back(
            of_u, of_delta, of_rates, of_B + own, of_C + own, of_D, of_bias,
            boundary, of_boundary, of_y, u, delta, rates, B + line, C + line, D, bias,
            channels, states, length, groups, chunk, group * tiles + tile, sample,
            CURVED, BLOCK, STEPS,
        )  # fmt: skip
        tl.debug_barrier()  # the next tile reads what other threads wrote


@triton.jit
@no_type_check
def state_back(step, later, drive, entered, of_out, rate, before, behind, B, C, mask):
    """Return one state, its gradient, that of its exponent, and its B.

    Args:
        step: Δ.
        later: Δ of the next step, 0 for the last.
        drive: Δu.
        entered: Δu of the step before, 0 for the first.
        of_out: The gradient of y.
        rate: Of the state.
        before: The state before the chunk at its first step, elsewhere 0.
        behind: The gradient from behind the chunk at its last step, elsewhere 0.
        B: Where that of this state begins.
        C: Where that of this state begins.
        mask: Which steps there are.
    """
    into = tl.load(B, mask=mask, other=0).to(tl.float32)[None, :]
    from_ = tl.load(C, mask=mask, other=0).to(tl.float32)[None, :]
    # What was the state before is scanned for; the difference of h and what enters it would be
    # noise where little of the state is left.
    last = mask & (tl.arange(0, mask.shape[0]) > 0)
    earlier = tl.load(B - 1, mask=last, other=0).to(tl.float32)[None, :]
    decay = tl.exp2(step * rate)
    _, decayed = tl.associative_scan((decay, decay * (entered * earlier + before)), 1, compose)
    added = of_out * from_ + behind
    _, of_h = tl.associative_scan((tl.exp2(later * rate), added), 1, compose, reverse=True)
    return decayed + drive * into, of_h, of_h * decayed, into


@triton.jit
@no_type_check
def load_tile(pointer, places, mask):
    """Load a tile in float32; 0 where masked."""
    return tl.load(pointer + places, mask=mask, other=0).to(tl.float32)


@triton.jit
@no_type_check
def tile_back(
    of_u, of_delta, of_rates, of_B, of_C, of_D, of_bias,
    boundary, of_boundary, of_y, u, delta, rates, B, C, D, bias,
    channels, states, length, groups, chunk, tile, sample,
    CURVED: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of some channels of a chunk."""
    _, channel, there = channels_of(tile, channels, groups, BLOCK)
    inside, t = tl.arange(0, STEPS), chunk * STEPS + tl.arange(0, STEPS)
    here, line = t < length, t.to(tl.int64)
    places = (sample * channels + channel)[:, None] * length + t[None, :]
    mask = there[:, None] & here[None, :]
    ahead, back = (
        mask & ((inside < STEPS - 1) & (t + 1 < length))[None, :],
        mask & (inside > 0)[None, :],
    )
    step, slope = load_step(delta, bias + channel, there, places, mask, CURVED)
    later, _ = load_step(delta, bias + channel, there, places + 1, ahead, CURVED)
    entered, _ = load_step(delta, bias + channel, there, places - 1, back, CURVED)
    entered *= load_tile(u, places - 1, back)
    value, of_out = load_tile(u, places, mask), load_tile(of_y, places, mask)
    of_drive, of_step = tl.zeros_like(step), tl.zeros_like(step)
    kept = (sample * tl.num_programs(0) + chunk) * channels + channel
    for n in range(states):
        rate = tl.load(rates + channel * states + n, mask=there, other=0)[:, None]
        before = tl.load(boundary + kept * states + n, mask=there, other=0)[:, None]
        behind = tl.load(of_boundary + kept * states + n, mask=there, other=0)[:, None]
        h, of_h, of_exponent, into = state_back(
            step, later, step * value, entered, of_out, rate,
            tl.where(inside[None, :] == 0, before, 0),
            tl.where(inside[None, :] == STEPS - 1, behind, 0),
            B + line, C + line, here,
        )  # fmt: skip
        of_drive += of_h * into
        of_step += of_exponent * (rate * LN_2)
        tl.store(of_rates + kept * states + n, tl.sum(of_exponent * step, 1), mask=there)
        add(of_B + line, tl.sum(of_h * step * value, 0), here)
        add(of_C + line, tl.sum(of_out * h, 0), here)
        line += length
    of_raw = tl.where(mask, (of_step + of_drive * value) * slope, 0)
    through = of_out * load_tile(D, channel, there)[:, None]
    tl.store(of_u + places, of_drive * step + through, mask=mask)
    tl.store(of_delta + places, of_raw, mask=mask)
    tl.store(of_D + kept, tl.sum(of_out * value, 1), mask=there)
    tl.store(of_bias + kept, tl.sum(of_raw, 1), mask=there)


@triton.jit
@no_type_check
def add(pointers, values, mask):
    """Add to what no other program touches."""
    tl.store(pointers, tl.load(pointers, mask=mask, other=0) + values, mask=mask)
