"""A plan that needs less memory: a smaller batch, then less kept, then a smaller patch."""

from medseg import networks
from medseg.recipe import Plan
from medseg.training.patch_size import MULTIPLE, SMALLEST_AXIS

CHECKPOINTING = "checkpointing"
"""The option of networks that compute inner values again instead of keeping them."""


def smaller(plan: Plan, *, processes: int = 1) -> tuple[Plan, str] | None:
    """Return the next smaller plan and what was changed; None if nothing is left to change.

    The weights of the network stay as they are: none of the changes touches them.

    Args:
        plan: What needs too much.
        processes: How many share a batch equally.
    """
    share = plan.batch // processes
    if share > 1:
        batch = share // 2 * processes
        return plan.model_copy(update={"batch": batch}), f"a batch of {batch}"
    options = plan.network.options
    if networks.takes(plan.network.name, CHECKPOINTING) and not options.get(CHECKPOINTING):
        kept = plan.network.model_copy(update={"options": {**options, CHECKPOINTING: True}})
        return plan.model_copy(update={"network": kept}), "inner values computed twice"
    axis = plan.patch.index(max(plan.patch))
    if plan.patch[axis] <= SMALLEST_AXIS:
        return None
    lengths = list(plan.patch)
    shorter = lengths[axis] * 3 // 4 // MULTIPLE * MULTIPLE
    lengths[axis] = max(SMALLEST_AXIS, shorter)
    i, j, k = lengths
    return plan.model_copy(update={"patch": (i, j, k)}), f"a patch of {i}x{j}x{k}"
