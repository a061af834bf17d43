"""Not written yet."""

from torch import Tensor


def obstacle(u: Tensor) -> str | None:
    """Refuse everything."""
    return f"it is not written yet; use backend='reference' on {u.device}"


def scan(*tensors: Tensor | None, delta_softplus: bool) -> Tensor:
    """Refuse; `obstacle` says why."""
    raise NotImplementedError(f"{len(tensors)} tensors, {delta_softplus=}: not written yet")
