"""Which validation was the best so far, and how long ago that was."""

import math


class Best:
    """The best mean Dice of a run.

    Attributes:
        dice: The best so far; minus infinity before the first.
        epochs_since: Epochs since then that were validated and no better.
    """

    def __init__(self) -> None:
        self.dice = -math.inf
        self.epochs_since = 0

    def improves(self, dice: float) -> bool:
        """Take note of an epoch, and tell whether it is the best; NaN is no validation."""
        if math.isnan(dice):
            return False
        if dice > self.dice:
            self.dice, self.epochs_since = dice, 0
            return True
        self.epochs_since += 1
        return False

    def state_dict(self) -> dict[str, float]:
        """Return what `load_state_dict` needs to go on."""
        return {"dice": self.dice, "epochs_since": self.epochs_since}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from `state`."""
        self.dice, self.epochs_since = state["dice"], int(state["epochs_since"])
