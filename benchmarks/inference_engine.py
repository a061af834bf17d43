"""The sliding window beside MONAI's `SlidingWindowInferer`, on two threads.

    python benchmarks/inference_engine.py [--features 48] [--repeats 3] [--only overhead|scans]

`overhead`: with a network that costs next to nothing, what the window itself takes. `scans`: around
MONAI's Swin UNETR and ours of the same weights, on a skull-stripped brain that is cropped for both,
then what cropping, skipping of empty patches and bfloat16 add. `--features 12` tries the script.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from harness import Row, in_fresh_process, median_seconds, publish, rise_of_peak_bytes
from torch import Tensor, nn

from medseg import networks
from medseg import task as tasks
from medseg.inference import foreground
from medseg.inference.precision import lowered
from medseg.inference.sliding_window import Outside, Tiling, logit_slabs, predict_logits
from medseg.volume import Grid, Volume

THREADS = 2
PATCH = (96, 96, 96)
TILING = Tiling(PATCH, 0.5)
BRAIN = (240, 240, 155)
BODY = (256, 256, 192)
INFERER = "MONAI SlidingWindowInferer"
WHOLE = "medseg, all logits at the end"
Work = Callable[[], object]


class Nothing(nn.Module):
    """Answers with zeros that are there already; in turn with several, as fresh ones would lie."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.answers = [torch.zeros(1, outputs, *PATCH) for _ in range(5)]
        self.calls = 0

    def forward(self, patches: Tensor) -> Tensor:  # noqa: ARG002
        """Return the next."""
        self.calls += 1
        return self.answers[self.calls % len(self.answers)]


def monai(network: nn.Module, image: Tensor) -> Tensor:
    """Return MONAI's logits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's import warns of its own dependencies
        from monai.inferers import SlidingWindowInferer
    with torch.inference_mode():
        return SlidingWindowInferer(PATCH, 1, overlap=0.5, mode="gaussian")(image[None], network)[0]


def slab_by_slab(network: nn.Module, image: Tensor) -> float:
    """Take every slab as it comes, as the export does."""
    axis = int(np.argmax(image.shape[1:]))
    return sum(float(slab[0, 0, 0, 0]) for slab in logit_slabs(network, image, TILING, axis=axis))


WAYS: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "medseg": slab_by_slab,
    INFERER: monai,
    WHOLE: partial(predict_logits, tiling=TILING),
}


def overhead(outputs: int, repeats: int) -> list[Row]:
    """Measure the window around a network that does nothing."""
    image, network = torch.zeros(1, *BRAIN), Nothing(outputs)
    case = f"{'x'.join(map(str, BRAIN))}, {outputs} outputs, a network that costs nothing"
    actions: dict[str, Work] = {n: partial(act, network, image) for n, act in WAYS.items()}
    seconds = median_seconds(actions, repeats=repeats)
    voxels = image.numel()
    times = {name: 1e9 * taken / voxels for name, taken in seconds.items()}
    peaks = {
        name: int(in_fresh_process(__file__, "--memory", name, "--outputs", str(outputs))) / voxels
        for name in WAYS
    }
    return [
        Row(f"{case}{held}", quantity, unit, taken[name], {INFERER: taken[INFERER]})
        for name, held in (("medseg", ""), (WHOLE, "; all logits held at the end"))
        for quantity, unit, taken in (
            ("time per voxel", "ns", times),
            ("rise of peak memory per voxel", "bytes", peaks),
        )
    ]


def print_memory(name: str, outputs: int) -> None:
    """Print by how much one way raises the peak of memory."""
    network, image = Nothing(outputs), torch.zeros(1, *BRAIN)
    small = torch.zeros(1, *PATCH)
    WAYS[name](network, small)  # libraries allocate on first use
    print(rise_of_peak_bytes(lambda: WAYS[name](network, image)))


def both(features: int, channels: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    """Build our network and MONAI's with the same weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.networks.nets import SwinUNETR
    torch.manual_seed(0)
    theirs = SwinUNETR(channels, outputs, feature_size=features).eval()
    ours = networks.build(
        "swin_unetr", in_channels=channels, out_channels=outputs, features=features
    )
    ours.load_state_dict(theirs.state_dict())
    return ours.eval(), theirs


def ellipsoid(shape: tuple[int, int, int], lengths: tuple[int, int, int]) -> np.ndarray:
    """Return a filled ellipsoid in the middle of a volume."""
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    terms = [
        ((axis - (n - 1) / 2) / (length / 2)) ** 2
        for axis, n, length in zip(axes, shape, lengths, strict=True)
    ]
    return sum(terms) <= 1


def brain_rows(features: int, repeats: int) -> list[Row]:
    """Segment a brain of 141x177x141 voxels in 240x240x155, four channels, skull-stripped."""
    inside = ellipsoid(BRAIN, (141, 177, 141))
    noise = np.random.default_rng(0).normal(size=(4, *BRAIN)).astype(np.float32)
    scan = Volume(noise * inside, Grid(BRAIN, np.eye(4)))
    place = foreground.kept(scan, tasks.read("brats"), TILING, (1.0, 1.0, 1.0))
    cut = scan.voxels[(slice(None), *place)].copy()
    whole, image = torch.from_numpy(scan.voxels), torch.from_numpy(cut)
    ours, theirs = both(features, channels=4, outputs=3)
    low = lowered(ours, torch.bfloat16)
    logits = predict_logits(ours, image, TILING)
    print(f"largest difference of logits: {(logits - monai(theirs, image)).abs().max():.1e}")
    seconds = median_seconds(
        {
            "cropped": lambda: slab_by_slab(ours, image),
            INFERER: lambda: monai(theirs, image),
            "whole": lambda: slab_by_slab(ours, whole),
            "bfloat16": lambda: slab_by_slab(low, image),
        },
        repeats=repeats,
    )
    size = "x".join(map(str, image.shape[1:]))
    case, taken = f"brain cropped to {size}, features {features}", seconds["cropped"]
    peer = {f"{INFERER}, MONAI's network": seconds[INFERER]}
    return [
        Row(f"{case}, float32", "time", "s", taken, peer),
        Row(f"{case}: cropping", "time", "s", taken, {"medseg without": seconds["whole"]}),
        Row(f"{case}: bfloat16", "time", "s", seconds["bfloat16"], {"medseg without": taken}),
    ]


def body_row(features: int, repeats: int) -> Row:
    """Segment a body that fills less than half of a CT, without cropping."""
    inside = ellipsoid(BODY, (230, 120, 1000))
    image = torch.from_numpy(np.where(inside, 0.5, -1.0).astype(np.float32)[None])
    ours, _ = both(features, channels=1, outputs=9)
    background = torch.from_numpy(foreground.background_logits(tasks.read("synapse")))
    outside = Outside(torch.from_numpy(~inside), background)

    def run(known: Outside | None) -> None:
        for _ in logit_slabs(ours, image, TILING, outside=known):
            pass

    seconds = median_seconds(
        {"skipping": lambda: run(outside), "all": lambda: run(None)}, repeats=repeats
    )
    case = f"body CT {'x'.join(map(str, BODY))}, features {features}: skipping"
    return Row(case, "time", "s", seconds["skipping"], {"medseg without": seconds["all"]})


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["overhead", "scans"])
    parser.add_argument("--memory", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--outputs", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        print_memory(given.memory, given.outputs)
        return
    rows: list[Row] = []
    if given.only != "scans":
        for outputs in (3, 14):
            rows += overhead(outputs, max(5, given.repeats))
    if given.only != "overhead":
        rows += brain_rows(given.features, given.repeats)
        rows.append(body_row(given.features, given.repeats))
    publish("inference_engine", rows, packages=["torch", "monai", "numba"], threads=THREADS)


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    sys.exit(main())
