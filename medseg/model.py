"""What inference takes for a trained model: one of medseg, or one of nnU-Net.

Both have a task, a plan and a hash; both build their network and prepare a scan for it. One with
several networks has as many members with one each; else it is its only member itself.
"""

from medseg.bundle import Bundle
from medseg.nnunet_bundle import NnunetBundle

Model = Bundle | NnunetBundle


def prepare_alike(one: Model, other: Model) -> bool:
    """Tell whether two models of one task make the same image of every scan."""
    if isinstance(one, Bundle) and isinstance(other, Bundle):
        plans = (one.plan, other.plan)
        first, second = ((plan.spacing_mm, plan.windows) for plan in plans)
        return one.task.channels == other.task.channels and first == second
    if isinstance(one, NnunetBundle) and isinstance(other, NnunetBundle):
        return one.configuration == other.configuration
    return False
