"""The networks of models on their device: one, or several of which one at a time is in memory."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from medseg import memory
from medseg.inference.precision import Logits, Patches, Precision, PrecisionChoice, choose
from medseg.inference.settling import Settling
from medseg.model import Model


def loaded(model: Model, device: torch.device, precision: PrecisionChoice) -> Settling:
    """Build the network of a model that has one, on `device`.

    Raises:
        ModelError: The weights do not fit.
    """
    return _settling(model, device, choose(precision, device), is_settled=precision != "auto")


def _settling(
    model: Model, device: torch.device, precision: Precision, *, is_settled: bool
) -> Settling:
    network, exclusive = model.build_network().to(device), model.task.exclusive
    return Settling(network, precision, exclusive=exclusive, is_settled=is_settled)


class InTurn(nn.Module):
    """The networks of several models, of which one at a time is in memory.

    The next one that is taken is read from its files when the last one is gone. What a network was
    found to compute in on its first scan holds when it comes back.

    Args:
        models: Each with one network.
        device: Where they are used.
        precision: What they compute in.

    Attributes:
        network: The one in memory, at first that of the first model.
    """

    def __init__(
        self, models: Sequence[Model], device: torch.device, precision: PrecisionChoice
    ) -> None:
        super().__init__()
        self._models, self._device, self._precision = tuple(models), device, precision
        self._found: dict[int, Precision] = {}
        self._number: int | None = None
        self.network: Settling | None = None
        self.take(0)

    def take(self, number: int) -> Settling:
        """Return the network of a model; that of any other is let go of first.

        Raises:
            ModelError: The weights do not fit.
        """
        if self.network is None or self._number != number:
            self._let_go()
            self.network, self._number = self._loaded(number), number
        return self.network

    @property
    def found(self) -> dict[int, Precision]:
        """What the networks were found to compute in, by their numbers."""
        if self.network is not None and self._number is not None and self.network.is_settled:
            self._found[self._number] = self.network.precision
        return dict(self._found)

    def settle_as(self, precisions: Mapping[int, Precision]) -> None:
        """Take what was settled elsewhere, by the numbers of the networks."""
        self._found.update(precisions)
        if self.network is not None and self._number is not None and self._number in precisions:
            self.network.settle_as(precisions[self._number])

    def settle(self) -> None:
        """Let the network in memory settle; the others have when they were let go of."""
        if self.network is not None:
            self.network.settle()

    def forget(self) -> None:
        """Forget what was seen of a scan that was broken off."""
        if self.network is not None:
            self.network.forget()

    def forward(self, patches: Patches) -> Logits:
        """Apply the network that is in memory."""
        logits: Tensor = self.take(self._number or 0)(patches)
        return logits

    def _let_go(self) -> None:
        self.settle()
        self._found = self.found
        self.network = None
        memory.give_back()

    def _loaded(self, number: int) -> Settling:
        model, found = self._models[number], self._found.get(number)
        if found is None:
            return loaded(model, self._device, self._precision)
        return _settling(model, self._device, found, is_settled=True)
