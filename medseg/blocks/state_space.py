"""The visual state-space block: tokens mixed by selective scans along several directions.

Source: Liu et al. 2024, VMamba, the first version, https://arxiv.org/abs/2401.10166; Gu & Dao
2023, Mamba, https://arxiv.org/abs/2312.00752
Differs from the reference code: three dimensions, any directions; what depends on a token alone is
computed before the grid is read in several directions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks import cross_scan
from medseg.blocks.axes import Tokens
from medseg.blocks.checkpointing import chain
from medseg.blocks.checks import check_counts
from medseg.blocks.depthwise import DepthwiseConvolution
from medseg.blocks.drop_path import DropPath
from medseg.blocks.selective_scan import selective_scan

BY_DIRECTION = ("x_proj_weight", "dt_projs_weight", "dt_projs_bias", "A_logs", "Ds")
"""Parameters that hold a part for each direction, in the order of the directions."""

STEP_RANGE = (1e-3, 0.1)
"""Between these the step sizes of the channels begin, evenly on a logarithmic scale."""


@dataclass(frozen=True, slots=True)
class StateSpaceOptions:
    """What all state-space blocks of a network share.

    Attributes:
        states: States of each channel.
        expand: Channels of the scan for each feature of a token.
        step_rank: Values of a token from which the step sizes of its channels are computed; None
            for a sixteenth of its features, rounded up.
        kernel: Tokens along each axis of the depthwise convolution.
        scan_orders: Orders of the axes in which the grid is read, fastest last, such as "ijk"; each
            is read forward and in reverse.
    """

    states: int = 16
    expand: int = 2
    step_rank: int | None = None
    kernel: tuple[int, int, int] = (3, 3, 3)
    scan_orders: tuple[str, ...] = ("ijk", "jki", "kij")

    def __post_init__(self) -> None:
        check_counts(states=self.states, expand=self.expand)
        if self.step_rank is not None:
            check_counts(step_rank=self.step_rank)


class StateSpace(nn.Module):
    """Convolve, scan in each direction, add up, normalise and gate: SS2D and SS3D."""

    ROUNDED = ("x_proj_weight", "dt_projs_weight")
    """Weights that may be rounded to bfloat16; the scan is in float32."""

    def __init__(self, features: int, options: StateSpaceOptions) -> None:
        super().__init__()
        self.orders = cross_scan.parse(options.scan_orders)
        self.directions = directions = 2 * len(self.orders)
        channels = options.expand * features
        rank = -(-features // 16) if options.step_rank is None else options.step_rank
        self.states = options.states
        self.in_proj = nn.Linear(features, 2 * channels, bias=False)
        self.conv = DepthwiseConvolution(channels, kernel=options.kernel)
        weights = [projection(channels, rank + 2 * options.states) for _ in range(directions)]
        self.x_proj_weight = nn.Parameter(torch.stack(weights))
        self.dt_projs_weight = nn.Parameter(
            (torch.rand(directions, channels, rank) * 2 - 1) * rank**-0.5
        )
        self.dt_projs_bias = nn.Parameter(first_steps(directions, channels))
        rates = torch.arange(1, options.states + 1).float().log()
        self.A_logs = nn.Parameter(rates.repeat(directions * channels, 1))
        self.Ds = nn.Parameter(torch.ones(directions * channels))
        self.out_norm = nn.LayerNorm(channels)
        self.out_proj = nn.Linear(channels, features, bias=False)

    def forward(self, tokens: Tokens) -> Tokens:
        """Let every token hear of those before it in each direction."""
        of_scan, of_gate = self.in_proj.weight.chunk(2)
        x = functional.linear(tokens, of_scan).permute(0, 4, 1, 2, 3)
        mixed = self.scan(functional.silu(self.conv(x)))
        gate = functional.silu(functional.linear(tokens, of_gate))
        result: Tensor = self.out_proj(self.normalized(mixed).to(gate.dtype) * gate)
        return result

    def scan(self, x: Float[Tensor, "batch channels i j k"]) -> Tokens:
        """Scan in all directions at once, in float32 or better, and add up where they meet."""
        wide = torch.promote_types(x.dtype, torch.float32)
        parameters = functional.linear(x.permute(0, 2, 3, 4, 1), self.x_proj_weight.flatten(0, 1))
        by_direction = rearrange(parameters, "b i j k (d c) -> b d c i j k", d=self.directions)
        read = cross_scan.unroll(by_direction, self.orders)
        rank = read.shape[2] - 2 * self.states
        steps, enters, leaves = torch.split(read, [rank, self.states, self.states], dim=2)
        delta = self.dt_projs_weight.to(read.dtype) @ steps
        everywhere = x[:, None].expand(-1, self.directions, -1, -1, -1, -1)
        sequences = cross_scan.unroll(everywhere, self.orders).to(wide)
        scanned = selective_scan(
            sequences.flatten(1, 2),
            delta.to(wide).flatten(1, 2),
            -self.A_logs.to(wide).exp(),
            enters.to(wide),
            leaves.to(wide),
            self.Ds.to(wide),
            self.dt_projs_bias.to(wide).flatten(),
        )
        i, j, k = x.shape[2:]
        together = cross_scan.merge(scanned.view(sequences.shape), self.orders, (i, j, k))
        return together.permute(0, 2, 3, 4, 1)

    def normalized(self, tokens: Tokens) -> Tokens:
        """Normalise in float32 or better: the sum of all directions may be large."""
        norm = self.out_norm
        weight, bias = norm.weight.to(tokens.dtype), norm.bias.to(tokens.dtype)
        return functional.layer_norm(tokens, norm.normalized_shape, weight, bias, norm.eps)

    def inflated(self, name: str, weight: Tensor) -> Tensor | None:
        """Adapt a weight of the 2D block, whose directions are rows, columns, and both reversed.

        An order in which the last axis is fastest takes the rows, one in which the middle axis is
        fastest the columns, and one along the axis that 2D lacks their mean. None if `weight` has
        another shape.
        """
        if name not in BY_DIRECTION:
            return weight
        whole = self.get_parameter(name)
        part = (len(whole) // self.directions, *whole.shape[1:])
        if weight.shape != (4 * part[0], *part[1:]):
            return None
        row, column, row_back, column_back = weight.reshape(4, -1)
        ways = []
        for along_k, along_j in ((row, column), (row_back, column_back)):
            choices = {2: along_k, 1: along_j, 0: (along_k + along_j) / 2}
            ways += [choices[order[-1]] for order in self.orders]
        return torch.stack(ways).view(whole.shape)


class StateSpaceBlock(nn.Module):
    """A state space between normalisation and sum."""

    def __init__(self, features: int, options: StateSpaceOptions, *, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.mixer = StateSpace(features, options)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tokens) -> Tokens:
        """Transform the tokens."""
        return tokens + self.drop_path(self.mixer(self.norm(tokens)))


class StateSpaceStage(nn.Module):
    """State-space blocks on one grid."""

    def __init__(
        self,
        features: int,
        options: StateSpaceOptions,
        *,
        drop_path: Sequence[float],
        checkpointing: bool,
    ) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.blocks = nn.ModuleList(
            StateSpaceBlock(features, options, drop_path=probability) for probability in drop_path
        )

    def forward(self, tokens: Tokens) -> Tokens:
        """Transform the tokens."""
        return chain(self.blocks, tokens, checkpointing=self.checkpointing)


def projection(channels: int, values: int) -> Float[Tensor, "values channels"]:
    """Draw the weights of a linear map as torch does."""
    return nn.Linear(channels, values, bias=False).weight.detach()


def first_steps(directions: int, channels: int) -> Float[Tensor, "directions channels"]:
    """Draw biases whose softplus are the first step sizes."""
    low, high = map(math.log, STEP_RANGE)
    steps = torch.empty(directions, channels).uniform_(low, high).exp()
    return steps + torch.log(-torch.expm1(-steps))
