"""Branches that are left out at random in training.

Source: Huang et al. 2016, Deep networks with stochastic depth, https://arxiv.org/abs/1603.09382
"""

import itertools
from collections.abc import Sequence

from torch import nn

from medseg.blocks.axes import Tokens
from medseg.blocks.checks import check_probabilities


class DropPath(nn.Module):
    """In training, leave a branch out for random cases; the others are scaled to the same mean.

    Raises:
        ValueError: The probability is below 0, or not below 1.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        check_probabilities(drop_path=probability)
        self.probability = probability

    def forward(self, tokens: Tokens) -> Tokens:
        """Scale each case by 0 or 1 / (1 - probability)."""
        if not self.training or self.probability == 0:
            return tokens
        kept = 1 - self.probability
        return tokens * tokens.new_empty(len(tokens), 1, 1, 1, 1).bernoulli_(kept).div_(kept)


def rising_rates(last: float, depths: Sequence[int]) -> list[list[float]]:
    """Return the probability of each block of each stage: from 0, linearly, to `last`."""
    blocks = sum(depths)
    rates = iter([last * n / max(1, blocks - 1) for n in range(blocks)])
    return [list(itertools.islice(rates, depth)) for depth in depths]
