"""What a network costs: parameters, multiply-adds, and on this machine seconds and memory."""

import math
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from medseg import memory, networks
from medseg.blocks.selective_scan import cpu as scan
from medseg.shapes import Shape

Work = Literal["prediction", "gradients", "training step"]
"""A patch without gradients; a patch and all gradients; that and a step of AdamW."""

REPEATS: Final = 3


def flops_of_scan(
    u: Shape, _delta: Shape, rates: tuple[int, int], *_others: Any, **_out: Any
) -> int:
    """Count two operations for each multiply-add of a scan, given the shapes of its tensors.

    Each state takes three at each step: it decays, the input enters, the output is read.
    """
    return 2 * 3 * math.prod(u) * rates[1]


SCANS: Final = {scan.OPERATOR: flops_of_scan}


@dataclass(frozen=True, slots=True)
class Subject:
    """A network in one of its sizes, on one patch.

    Attributes:
        name: A module of `medseg.networks`.
        size: One of its sizes.
        in_channels: Channels of the image.
        out_channels: Channels of the logits.
        patch: Voxels along each axis.
    """

    name: str
    size: str
    in_channels: int
    out_channels: int
    patch: Shape

    def build(self) -> nn.Module:
        """Build it as training would, with the options that suit the patch.

        Raises:
            ValueError: There is no such network or size.
            ModuleNotFoundError: The network needs a package that is not installed.
        """
        fitted = networks.fitted(self.name, self.patch, size=self.size)
        return networks.build(
            self.name,
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            size=self.size,
            **fitted,
        )

    def image(self, device: torch.device) -> Tensor:
        """Make a patch of noise."""
        return torch.randn(1, self.in_channels, *self.patch, device=device)


@dataclass(frozen=True, slots=True)
class Counted:
    """What can be counted without computing.

    Attributes:
        parameters: Of the network, auxiliary heads included.
        multiply_adds: Of convolutions, matrix products, attention and selective scans in a forward
            pass.
    """

    parameters: int
    multiply_adds: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What one piece of work takes.

    Attributes:
        seconds: Median of three.
        peak_bytes: Memory, on a GPU its own, above that of the program before the network was
            built.
        device: `cpu` or `cuda`.
        threads: Of the processor.
    """

    seconds: float
    peak_bytes: int
    device: str
    threads: int


def count(subject: Subject) -> Counted:
    """Count on tensors without values, in a second or less.

    Raises:
        ValueError: There is no such network or size.
        ModuleNotFoundError: The network needs a package that is not installed.
    """
    device = torch.device("meta")
    with device:
        network = subject.build().eval()
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=SCANS) as counter:
        network(subject.image(device))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Counted(parameters, counter.get_total_flops() // 2)


def measure(
    subject: Subject, work: Work, *, device: str | None = None, threads: int | None = None
) -> Measured:
    """Measure in a process of its own.

    Args:
        subject: What is measured.
        work: What it does.
        device: `cpu` or `cuda`; else `cuda` where there is a GPU. A GPU computes in bfloat16, as
            in training.
        threads: Of the processor; else torch's choice.

    Raises:
        MemoryError: Memory ran out, or the process ended, most likely because it did.
    """
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(measure_here, subject, work, chosen, threads).result()
        except BrokenProcessPool as error:
            raise _too_much(subject) from error
        except Exception as error:
            if not memory.ran_out(error):
                raise
            raise _too_much(subject) from error


def measure_here(subject: Subject, work: Work, device: str, threads: int | None = None) -> Measured:
    """Measure in this process; arguments as of `measure`. The number of threads stays changed."""
    place = torch.device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    memory.forget_peak()
    before = _resident_bytes(place)
    act = _action(subject.build().to(place), subject.image(place), work)
    seconds = []
    for _ in range(REPEATS + 1):  # the first is slower: indices and kernels are prepared
        start = time.perf_counter()
        act()
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        seconds.append(time.perf_counter() - start)
    peak = max(0, _peak_bytes(place) - before)
    return Measured(statistics.median(seconds[1:]), peak, device, torch.get_num_threads())


def _too_much(subject: Subject) -> MemoryError:
    return MemoryError(f"{subject.name} in size {subject.size} needs too much")


def _action(network: nn.Module, image: Tensor, work: Work) -> Callable[[], None]:
    """Return the work as a function."""
    # In bfloat16 on a GPU, as in training.
    on_gpu = image.device.type == "cuda"
    precision = torch.autocast(image.device.type, torch.bfloat16, enabled=on_gpu)

    def predict() -> None:
        with torch.inference_mode(), precision:
            network(image)

    if work == "prediction":
        network.eval()
        return predict
    optimizer = torch.optim.AdamW(network.parameters())
    supervised: Callable[[Tensor], list[Tensor]] = getattr(
        network, "deep_supervision", lambda given: [network(given)]
    )

    def step() -> None:
        optimizer.zero_grad()
        with precision:
            scales = supervised(image)
        losses = [scale.float().square().mean() for scale in scales]
        torch.autograd.backward(losses)
        if work == "training step":
            optimizer.step()

    return step


def _resident_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return memory.resident_bytes()


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return memory.peak_bytes()
