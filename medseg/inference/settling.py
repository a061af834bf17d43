"""A network that chooses its precision when it has seen a scan."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medseg.inference.precision import Logits, Patches, Precision, largest, lowered, settle


class Settling(nn.Module):
    """A network in the precision that was asked for, or that agrees with float32 on a first patch.

    Args:
        network: In evaluation mode, in float32.
        precision: That was chosen.
        is_settled: Whether it was asked for, and holds whatever comes of it.
    """

    def __init__(self, network: nn.Module, precision: Precision, *, is_settled: bool) -> None:
        super().__init__()
        self.precision = precision
        self.is_settled = is_settled or precision.dtype == torch.float32
        self.network = lowered(network, precision.dtype) if self.is_settled else network
        self.eval()

    def settle(self, patches: Patches, *, exclusive: bool) -> None:
        """Decide on the precision, once.

        Args:
            patches: Of the first scan, from where there is something.
            exclusive: Whether a voxel's largest logit is its label; else those above 0 are.
        """
        if self.is_settled:
            return
        decide = largest if exclusive else positive
        self.network, self.precision = settle(self.network, self.precision, patches, decide=decide)
        self.is_settled = True

    def forward(self, patches: Patches) -> Logits:
        """Apply the network."""
        logits: Tensor = self.network(patches)
        return logits


def positive(logits: Float[Tensor, "batch outputs i j k"]) -> Tensor:
    """Decide for every output whose logit is above 0."""
    return logits > 0
