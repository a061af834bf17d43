"""One window of Swin UNETR beside MONAI's class: the same weights, float32 and bfloat16.

The weights come from a short training on the phantom, drawn so finely that a window shows little
but its bodies. MONAI's network is measured as it is in float32, and in the fastest way it has in
bfloat16: weights in bfloat16, channels last, `use_flash_attention`. The labels that a network gives
in bfloat16 are compared with those that it gives in float32.
"""

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from harness import Row, median_seconds, publish
from torch import Tensor, nn
from torch.nn import functional

from medseg import networks
from medseg.data import phantom
from medseg.inference.precision import agreement, largest, lowered

THREADS = 2
FEATURES = 48
WINDOW = (96, 96, 96)
SPACING_MM = 0.18
REPEATS = 5
STEPS = 30
TRAINING_WINDOW = (32, 32, 32)
LEAST_PART = 0.05
"""Part of the voxels that at least three labels must have, or the comparison says little."""

VALUES = [0, phantom.RIM, phantom.MANTLE, phantom.INNER]
CASE = f"features {FEATURES}, image 1x2x{'x'.join(map(str, WINDOW))}"


def drawn(
    seed: int, shape: tuple[int, int, int], spacing_mm: float, shift_mm: np.ndarray | float = 0.0
) -> tuple[Tensor, Tensor]:
    """Draw the inner part of a phantom and what is around it: its image and its labels."""
    coarse = phantom.centred_affine((48, 48, 40))
    _, label_map = phantom.make_case(seed)
    middle = np.argwhere(label_map == phantom.INNER).mean(axis=0)
    affine = phantom.centred_affine(shape, (spacing_mm,) * 3)
    affine[:3, 3] += coarse[:3, :3] @ middle + coarse[:3, 3] + shift_mm
    voxels, label_map = phantom.make_case(seed, shape, affine)
    image = torch.from_numpy(voxels.astype(np.float32))
    image = (image - image.mean((1, 2, 3), keepdim=True)) / image.std((1, 2, 3), keepdim=True)
    labels = sum(n * (label_map == value) for n, value in enumerate(VALUES))
    return image[None], torch.from_numpy(np.asarray(labels, dtype=np.int64))[None]


def trained() -> nn.Module:
    """Train our network for less than a minute, on small windows at several magnifications."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = networks.build(
        "swin_unetr", in_channels=2, out_channels=len(VALUES), features=FEATURES
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4)
    network.train()
    for step in range(STEPS):
        spacing_mm = float(rng.uniform(SPACING_MM, 3 * SPACING_MM))
        image, labels = drawn(step + 1, TRAINING_WINDOW, spacing_mm, rng.uniform(-3, 3, 3))
        loss = functional.cross_entropy(network(image), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(f"trained {step} of {STEPS} steps, loss {loss.item():.3f}", flush=True)
    return network.eval()


def monai(state: dict[str, Tensor], *, flash: bool) -> nn.Module:
    """Build MONAI's network with our weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's import warns of its own dependencies
        from monai.networks.nets import SwinUNETR
    theirs = SwinUNETR(2, len(VALUES), feature_size=FEATURES, use_flash_attention=flash)
    theirs.load_state_dict(state)
    return theirs.eval()


def forms(network: nn.Module, image: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Make ready each network in each precision."""
    state, last = network.state_dict(), torch.channels_last_3d
    low = lowered(network, torch.bfloat16)
    fastest = monai(state, flash=True).bfloat16().to(memory_format=last)
    given = image.bfloat16().contiguous(memory_format=last)
    return {
        "medseg float32": partial(network, image),
        "monai float32": partial(monai(state, flash=False), image),
        "medseg bfloat16": partial(low, image),
        "monai bfloat16": partial(fastest, given),
    }


def check_labels(logits: Tensor) -> None:
    """Refuse weights that know no three labels."""
    labels = largest(logits)
    parts = [float((labels == n).float().mean()) for n in range(len(VALUES))]
    print(f"parts of the labels: {', '.join(f'{part:.1%}' for part in parts)}", flush=True)
    if sum(part >= LEAST_PART for part in parts) < 3:
        raise SystemExit(f"fewer than three labels have {LEAST_PART:.0%}; train for more steps")


def rows() -> list[Row]:
    """Measure one window."""
    torch.set_num_threads(THREADS)
    network = trained()
    image, _ = drawn(0, WINDOW, SPACING_MM)
    with torch.inference_mode():
        actions = forms(network, image)
        logits = {name: action() for name, action in actions.items()}
        check_labels(logits["medseg float32"])
        differing = {
            who: 100 * (1 - agreement(logits[f"{who} bfloat16"], logits[f"{who} float32"], largest))
            for who in ("medseg", "monai")
        }
        seconds = median_seconds(actions, repeats=REPEATS)
    ours, theirs = seconds["medseg bfloat16"], seconds["monai float32"]
    return [
        Row(CASE, "float32", "s", seconds["medseg float32"], {"monai": theirs}),
        Row(CASE, "bfloat16, beside float32", "s", ours, {"monai": theirs}),
        Row(CASE, "bfloat16, beside bfloat16", "s", ours, {"monai": seconds["monai bfloat16"]}),
        Row(
            CASE,
            "labels that bfloat16 changes",
            "%",
            differing["medseg"],
            {"monai": differing["monai"]},
        ),
    ]


def main() -> None:
    """Measure, and keep the figures."""
    publish("inference_window", rows(), packages=["torch", "monai", "numba"], threads=THREADS)


if __name__ == "__main__":
    main()
