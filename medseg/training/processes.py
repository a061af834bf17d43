"""Several processes that train one network together, each on its share of every batch.

They are started by torchrun or by SLURM's srun; a process that is alone needs nothing of this, and
every function then returns what it was given. The first process decides and writes; the others
follow.

Source: Li et al. 2020, PyTorch Distributed, https://arxiv.org/abs/2006.15704
"""

import datetime
import os
from typing import Final

import torch
import torch.distributed
from jaxtyping import Float32
from torch import Tensor

from medseg.errors import UsageError

PATIENCE: Final = datetime.timedelta(hours=6)
"""How long the others wait while the first one prepares the data or validates."""

_NOTHING_SHARED: Final = ("0", "1")


def started_together() -> int:
    """Return how many processes torchrun or srun has started for this run; 1 if alone."""
    for name in ("WORLD_SIZE", "SLURM_NTASKS"):
        told = os.environ.get(name, "1")
        if told.isdigit() and told not in _NOTHING_SHARED:
            return int(told)
    return 1


def is_follower() -> bool:
    """Tell whether another process decides and writes; known before `join`."""
    if started_together() == 1:
        return False
    return (os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0") != "0"


def join(expected: int, device: torch.device) -> None:
    """Meet the other processes, if there should be any.

    Args:
        expected: How many a user asked for, this one included.
        device: Where this process computes.

    Raises:
        UsageError: Another number was started.
    """
    if started_together() != expected:
        raise UsageError(
            f"{expected} processes were asked for and {started_together()} were started",
            remedy=f"Start them with 'torchrun --standalone --nproc-per-node {expected} -m medseg"
            " train ...', or with srun and as many tasks; --devices times --nodes is their number",
        )
    if expected == 1 or torch.distributed.is_initialized():
        return
    rank, local_rank, address, port = _place()
    if device.type == "cuda":
        torch.cuda.set_device(local_rank)
    torch.distributed.init_process_group(
        backend="nccl" if device.type == "cuda" else "gloo",
        init_method=f"tcp://{address}:{port}",
        rank=rank,
        world_size=expected,
        timeout=PATIENCE,
    )


def rank() -> int:
    """Return the number of this process; the first is 0."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def count() -> int:
    """Return how many processes train together."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def wait() -> None:
    """Wait until every process is here."""
    if count() > 1:
        torch.distributed.barrier()


def agreed(number: float, device: torch.device) -> float:
    """Return what the first process has."""
    if count() == 1:
        return number
    told = torch.tensor(number, dtype=torch.float64, device=device)
    torch.distributed.broadcast(told, src=0)
    return float(told)


def mean(number: float, device: torch.device) -> float:
    """Return the mean over the processes."""
    if count() == 1:
        return number
    told = torch.tensor(number, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(told)
    return float(told) / count()


def total(values: Float32[Tensor, "..."]) -> Float32[Tensor, "..."]:
    """Return the sum over the processes; its gradient reaches the values of all of them."""
    if count() == 1:
        return values
    return _Total.apply(values)


class _Total(torch.autograd.Function):
    """A sum over processes whose gradient is the sum of the gradients that each process has.

    Each process differentiates its own copy of the loss, and the trainer averages the gradients of
    the weights: the two together give the gradient of one process with the whole batch.
    """

    @staticmethod
    def forward(_context: object, values: Tensor) -> Tensor:
        """Add up."""
        result = values.clone()
        torch.distributed.all_reduce(result)
        return result

    @staticmethod
    def backward(_context: object, gradient: Tensor) -> Tensor:
        """Add up what every process passes back."""
        result = gradient.clone()
        torch.distributed.all_reduce(result)
        return result


def _place() -> tuple[int, int, str, int]:
    """Return this process's number, its number on its machine, and where they meet."""
    from pytorch_lightning.plugins import environments as known

    found = (
        known.TorchElasticEnvironment()  # type: ignore[attr-defined]  # offered, but not by name
        if "WORLD_SIZE" in os.environ
        else known.SLURMEnvironment(auto_requeue=False)  # type: ignore[attr-defined]  # likewise
    )
    return found.global_rank(), found.local_rank(), found.main_address, found.main_port
