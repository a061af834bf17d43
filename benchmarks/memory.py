"""Memory of a scan from voxels to labels, beside holding the logits of the whole scan as others do.

A CT with 14 classes whose voxels have the model's size, and a network that costs next to nothing.
nnU-Net and MONAI hold the sums of all classes for all voxels before they decide on a label; here
they are decided slab by slab. Memory is counted above the scan itself.
"""

import sys

import numpy as np
import torch
from harness import Row, in_fresh_process, publish, rise_of_peak_bytes
from monai.inferers import SlidingWindowInferer
from torch import Tensor

from medseg.inference.sliding_window import Tiling, logit_slabs

SHAPE = (192, 192, 320)
PATCH = (32, 32, 32)
OUTPUTS = 14
LEVELS = torch.linspace(-1, 1, OUTPUTS).view(1, OUTPUTS, 1, 1, 1)


def network(patches: Tensor) -> Tensor:
    """Let each output like another intensity."""
    return patches.sub(LEVELS).abs_().neg_()


def slabs(image: Tensor) -> None:
    """Decide slab by slab."""
    labels = np.empty(SHAPE, np.uint8)
    start = 0
    for slab in logit_slabs(network, image, Tiling(PATCH, 0.25), axis=2):
        labels[:, :, start : start + slab.shape[3]] = slab.argmax(0).numpy()
        start += slab.shape[3]


def whole(image: Tensor) -> None:
    """Decide when all logits are there."""
    inferer = SlidingWindowInferer(PATCH, sw_batch_size=1, overlap=0.25, mode="gaussian")
    inferer(image[None], network)[0].argmax(0).to(torch.uint8)


def measure(side: str) -> int:
    """Return the rise of the peak for one side."""
    image = torch.randn(1, *SHAPE)
    act = {"medseg": slabs, "monai": whole}[side]
    small = image[:, :40, :40, :70]
    if side == "monai":  # what is loaded or compiled at the first call does not count
        SlidingWindowInferer(PATCH, overlap=0.25, mode="gaussian")(small[None], network)
    else:
        list(logit_slabs(network, small, Tiling(PATCH, 0.25), axis=2))
    return rise_of_peak_bytes(lambda: act(image))


def main() -> None:
    """Measure each side in a process of its own."""
    torch.set_num_threads(2)
    if len(sys.argv) > 1:
        print(measure(sys.argv[1]))
        return
    mib = {side: int(in_fresh_process(__file__, side)) / 2**20 for side in ("medseg", "monai")}
    case = f"{'x'.join(map(str, SHAPE))} voxels, {OUTPUTS} classes"
    row = Row(case, "logits to labels, rise of peak", "MiB", mib["medseg"], {"MONAI": mib["monai"]})
    publish("memory", [row], packages=["torch", "monai"], threads=2)


if __name__ == "__main__":
    main()
