"""The selective scan on two cores, beside four ways to write it in PyTorch; float32.

Where there is CUDA, also the Triton backend beside the two things that bound it: moving its inputs
and output, and as many exponentials as it has steps times channels times states.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from harness import Row, in_fresh_process, median_seconds, publish, rise_of_peak_bytes, table
from mambapy.pscan import pscan
from torch import Tensor
from torch.nn import functional

from medseg.blocks.selective_scan import selective_scan

THREADS = 2
MINUTE = 60.0
PACKAGES = ["torch", "numba", "mambapy"]

Inputs = Mapping[str, Tensor]
Scan = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Setting:
    """One size of input."""

    length: int
    channels: int
    states: int
    repeats: int

    def __str__(self) -> str:
        """Name it as a row of the table."""
        return f"{self.length} steps, {self.channels} channels, {self.states} states"


SETTINGS = [
    Setting(4096, 192, 16, repeats=3),
    Setting(32768, 96, 16, repeats=3),
    Setting(32768, 192, 1, repeats=3),
]


def inputs(setting: Setting) -> dict[str, Tensor]:
    """Draw inputs as a network at its beginning has them."""
    generator = torch.Generator().manual_seed(0)
    length, channels, states = setting.length, setting.channels, setting.states
    return {
        "u": torch.randn(1, channels, length, generator=generator),
        "delta": torch.randn(1, channels, length, generator=generator) - 4,
        "A": -torch.arange(1.0, states + 1).repeat(channels, 1),
        "B": torch.randn(1, 1, states, length, generator=generator),
        "C": torch.randn(1, 1, states, length, generator=generator),
        "D": torch.ones(channels),
        "delta_bias": torch.zeros(channels),
    }


def with_states(
    recur: Scan,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    **bias: Tensor,
) -> Tensor:
    """Scan one group with a recurrence over tensors of batch x length x channels x states."""
    step = functional.softplus(delta + bias["delta_bias"][:, None]).mT[..., None]
    decay = torch.exp(step * A)
    added = step * u.mT[..., None] * B[:, 0].mT[:, :, None]
    y = (recur(decay, added) * C[:, 0].mT[:, :, None]).sum(-1).mT
    return y + D[:, None] * u


def blelloch(decay: Tensor, added: Tensor) -> Tensor:
    """Recur in a number of sweeps that is logarithmic in the length."""
    return pscan(decay, added)


def blocked(decay: Tensor, added: Tensor) -> Tensor:
    """Recur in blocks side by side, whose length is the root of the whole, then through blocks."""
    batch, length, *rest = decay.shape
    width = 1 << (length.bit_length() // 2)
    shape = (batch, length // width, width, *rest)
    decays, additions = (t.view(shape).unbind(2) for t in (decay, added))
    inside, gone = [additions[0]], [decays[0]]
    for a, x in zip(decays[1:], additions[1:], strict=True):
        inside.append(a * inside[-1] + x)
        gone.append(gone[-1] * a)
    state = torch.zeros_like(gone[-1][:, 0])
    before = []
    for a, x in zip(gone[-1].unbind(1), inside[-1].unbind(1), strict=True):
        before.append(state)
        state = a * state + x
    begin = torch.stack(before, 1)
    blocks = [x + a * begin for x, a in zip(inside, gone, strict=True)]
    return torch.stack(blocks, 2).view(batch, length, *rest)


def indexed(decay: Tensor, added: Tensor) -> Tensor:
    """Recur as `selective_scan_ref` of mamba_ssm does: by indexing each step."""
    state = torch.zeros_like(added[:, 0])
    states = []
    for t in range(added.shape[1]):
        state = decay[:, t] * state + added[:, t]
        states.append(state)
    return torch.stack(states, 1)


SCANS: dict[str, Scan] = {
    "medseg": partial(selective_scan, backend="cpu"),
    "loop over unbound steps": partial(selective_scan, backend="reference"),
    "blocks of the root of the length": partial(with_states, blocked),
    "Blelloch (mambapy)": partial(with_states, blelloch),
    "indexed loop (as mamba's reference)": partial(with_states, indexed),
}
SLOW = "indexed loop (as mamba's reference)"


def forward(scan: Scan, given: Inputs) -> None:
    """Scan."""
    with torch.no_grad():
        scan(**given)


def forward_and_backward(scan: Scan, given: Inputs) -> None:
    """Compute all gradients."""
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in given.items()}
    scan(**leaves).sum().backward()


WORK: dict[str, Callable[[Scan, Inputs], None]] = {
    "forward": forward,
    "forward and backward": forward_and_backward,
}


def entrants(setting: Setting, work: str) -> list[str]:
    """Name those that end within a minute: the indexed loop's backward pass is quadratic."""
    quick = work == "forward" and setting.length <= 4096
    return [name for name in SCANS if name != SLOW or quick]


def memory(index: str, work: str, name: str) -> None:
    """Print by how many bytes one piece of work raises the peak of memory."""
    WORK[work](SCANS[name], inputs(Setting(64, 16, 2, repeats=1)))  # compile, allocate
    given = inputs(SETTINGS[int(index)])
    print(rise_of_peak_bytes(lambda: WORK[work](SCANS[name], given)))


def on_processor() -> list[Row]:
    """Measure every setting on the processor: time, then memory."""
    rows = []
    cases = [(index, work) for index in range(len(SETTINGS)) for work in WORK]
    for index, work in cases:
        setting = SETTINGS[index]
        given = inputs(setting)
        actions = {
            name: partial(WORK[work], SCANS[name], given) for name in entrants(setting, work)
        }
        seconds = median_seconds(actions, repeats=setting.repeats)
        rows.append(Row(str(setting), work, "s", seconds.pop("medseg"), seconds))
        print(table(rows[-1:]), flush=True)
    for index, work in cases:
        mib = {
            name: int(in_fresh_process(__file__, str(index), work, name)) / 2**20
            for name in entrants(SETTINGS[index], work)
        }
        quantity = f"{work}: rise of peak memory"
        rows.append(Row(str(SETTINGS[index]), quantity, "MiB", mib.pop("medseg"), mib))
        publish("selective_scan", rows, packages=PACKAGES, threads=THREADS)
    return rows


def on_cuda() -> list[Row]:
    """Measure the Triton backend, beside what bounds its forward pass: the greater of two."""
    from exponentials import exponentials  # needs Triton

    setting = Setting(32768, 576, 16, repeats=20)
    rows = []
    for dtype in (torch.bfloat16, torch.float32):
        given = {name: tensor.cuda() for name, tensor in inputs(setting).items()}
        given |= {name: given[name].to(dtype) for name in ("u", "delta", "B", "C")}
        actions = {work: partial(run, by_triton, given) for work, run in WORK.items()}
        actions = {work: partial(finish, action) for work, action in actions.items()}
        moved = torch.cat([given[name].flatten() for name in ("u", "delta", "B", "C")])
        count = setting.length * setting.channels * setting.states
        bounds = {
            "floor: inputs and output moved": partial(finish, partial(move, moved, given["u"])),
            "floor: exponentials": partial(finish, partial(exponentials, count)),
        }
        seconds = median_seconds(actions | bounds, repeats=setting.repeats)
        floors = {name: seconds.pop(name) for name in bounds}
        case = f"{setting}, {str(dtype).removeprefix('torch.')}, {torch.cuda.get_device_name()}"
        rows += [Row(case, work, "s", value, floors) for work, value in seconds.items()]
    return rows


def by_triton(**given: Tensor) -> Tensor:
    """Scan on CUDA."""
    return selective_scan(**given, backend="triton")


def finish(action: Callable[[], object]) -> None:
    """Wait until the GPU is done."""
    action()
    torch.cuda.synchronize()


def move(read: Tensor, written: Tensor) -> None:
    """Read one tensor, and write another."""
    read.sum()
    torch.zeros_like(written)


def main() -> None:
    """Measure all."""
    start = time.perf_counter()
    rows = on_processor()
    if torch.cuda.is_available():
        rows += on_cuda()
    publish("selective_scan", rows, packages=PACKAGES, threads=THREADS)
    print(f"{(time.perf_counter() - start) / MINUTE:.0f} minutes")


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    if len(sys.argv) > 1:
        memory(*sys.argv[1:])
    else:
        main()
