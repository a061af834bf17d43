"""Swin UNETR beside MONAI's class: the same weights, the same image, float32, two threads."""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from harness import Row, in_fresh_process, median_seconds, publish, rise_of_peak_bytes
from torch import Tensor, nn
from torch.nn import functional

from medseg import networks

THREADS = 2
OUTPUTS = 14


@dataclass(frozen=True, slots=True)
class Setting:
    """One size of network and image."""

    features: int
    size: tuple[int, int, int]
    batch: int
    repeats: int

    def __str__(self) -> str:
        """Name it as a row of the table."""
        name = f"features {self.features}, image {self.batch}x1x{'x'.join(map(str, self.size))}"
        padded = any(length % 32 for length in self.size)
        return f"{name} (MONAI: padded to multiples of 32)" if padded else name


SETTINGS = [
    Setting(features=24, size=(40, 56, 40), batch=2, repeats=5),
    Setting(features=48, size=(96, 96, 96), batch=1, repeats=3),
]


def both(setting: Setting) -> dict[str, nn.Module]:
    """Build our network and MONAI's with the same weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's import warns of its own dependencies
        from monai.networks.nets import SwinUNETR
    torch.manual_seed(0)
    theirs = SwinUNETR(1, OUTPUTS, feature_size=setting.features)
    ours = networks.build(
        "swin_unetr", in_channels=1, out_channels=OUTPUTS, features=setting.features
    )
    ours.load_state_dict(theirs.state_dict())
    return {"medseg": ours, "monai": theirs}


def images(setting: Setting) -> dict[str, Tensor]:
    """Make an image of noise; MONAI demands that it be filled up to multiples of 32."""
    i, j, k = setting.size
    noise = torch.randn(setting.batch, 1, i, j, k, generator=torch.Generator().manual_seed(1))
    filled = functional.pad(noise, (0, -k % 32, 0, -j % 32, 0, -i % 32))
    return {"medseg": noise, "monai": filled}


def forward(network: nn.Module, given: Tensor) -> None:
    """Predict."""
    with torch.no_grad():
        network(given)


def forward_and_backward(network: nn.Module, given: Tensor) -> None:
    """Compute all gradients."""
    network.zero_grad(set_to_none=True)
    network(given).square().mean().backward()


WORK: dict[str, Callable[[nn.Module, Tensor], None]] = {
    "forward": forward,
    "forward and backward": forward_and_backward,
}


def memory(index: str, work: str, name: str) -> None:
    """Print by how many bytes one piece of work raises the peak of memory."""
    setting = SETTINGS[int(index)]
    network = both(setting)[name]
    given = images(setting)[name]
    forward(network, given[:, :, :32, :32, :64])  # libraries allocate on first use
    print(rise_of_peak_bytes(lambda: WORK[work](network, given)))


def main() -> None:
    """Measure every setting."""
    rows = []
    for index, setting in enumerate(SETTINGS):
        pair, given = both(setting), images(setting)
        for work, run in WORK.items():
            actions = {name: partial(run, network, given[name]) for name, network in pair.items()}
            seconds = median_seconds(actions, repeats=setting.repeats)
            rows.append(Row(str(setting), work, "s", seconds.pop("medseg"), peers=seconds))
            gib = {
                name: int(in_fresh_process(__file__, str(index), work, name)) / 2**30
                for name in pair
            }
            rows.append(
                Row(str(setting), f"{work}: rise of peak memory", "GiB", gib.pop("medseg"), gib)
            )
            publish("swin_unetr_forward", rows, packages=["torch", "monai"], threads=THREADS)


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    if len(sys.argv) > 1:
        memory(*sys.argv[1:])
    else:
        main()
