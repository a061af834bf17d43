"""An exponential moving average of a network's weights, which generalises better than the last.

Source: Polyak and Juditsky 1992; the warm-up of the decay, min(decay, (1 + n) / (10 + n)), is
TensorFlow's.
"""

import torch
from torch import Tensor, nn


class WeightAverage:
    """The moving average of a network's parameters; buffers are copied as they are.

    Args:
        network: Whose weights are averaged.
        decay: Weight of the past, 0 (the last weights) to below 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone() for name, value in _state(network).items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the weights of one more step into the average."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in _state(network).items():
            # the network may have moved to a GPU since the average began
            average = self.weights[name] = self.weights[name].to(value.device)
            if value.is_floating_point():
                average.lerp_(value, 1.0 - decay)
            else:
                average.copy_(value)

    def state_dict(self) -> dict[str, Tensor | int | dict[str, Tensor]]:
        """Return what `load_state_dict` needs to go on."""
        return {"updates": self.updates, "weights": self.weights}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from `state`."""
        weights = state["weights"]
        updates = state["updates"]
        if not isinstance(weights, dict) or not isinstance(updates, int):
            raise ValueError("this is no state of a weight average; resume from another checkpoint")
        self.updates = updates
        for name, value in weights.items():
            self.weights[name].copy_(value)


def _state(network: nn.Module) -> dict[str, Tensor]:
    return dict(network.state_dict())
