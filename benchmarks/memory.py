"""Memory of a scan from voxels to labels, beside holding the logits of the whole scan as others do.

A CT with 14 classes whose voxels have the model's size, and a network that costs next to nothing.
nnU-Net and MONAI hold the sums of all classes for all voxels before they decide on a label; here
they are decided slab by slab. Memory is counted above the scan itself.

Then a large scan from file to file as `medseg predict` does it, reading, quality and writing
included; memory is counted above what the process holds after a first, small scan.
"""

import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from harness import Row, in_fresh_process, publish, rise_of_peak_bytes
from monai.inferers import SlidingWindowInferer
from torch import Tensor, nn

from medseg import bundle, export, memory, recipe
from medseg import task as tasks
from medseg.data.cases import Case
from medseg.inference import cohort_run
from medseg.inference.cohort import Job, Settings
from medseg.inference.listening import Silent
from medseg.inference.options import Options
from medseg.inference.predict import Predictor
from medseg.inference.report import Report
from medseg.inference.scans import Scan
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


LARGE = (512, 512, 800)
LARGE_PATCH = (96, 96, 96)
SMALL = (100, 110, 120)
MOST = 3.0
"""Times the scan in float32."""

FLOAT = 4


class Cheap(nn.Module):
    """The network above, as a module."""

    def forward(self, patches: Tensor) -> Tensor:
        """Let each output like another intensity."""
        return network(patches)


def write_scan(path: Path, shape: tuple[int, int, int]) -> None:
    """Write blocks of even intensity as int16."""
    import nibabel

    rng, voxels = np.random.default_rng(0), np.empty(shape, np.int16, order="F")
    coarse = rng.integers(-300, 400, [length // 16 + 1 for length in shape], dtype=np.int16)
    for k in range(shape[2]):
        plane = coarse[:, :, k // 16].repeat(16, 0).repeat(16, 1)
        voxels[:, :, k] = plane[: shape[0], : shape[1]]
    nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(path)


def model(folder: Path) -> Predictor:
    """Return a model of 14 classes at 1 mm that costs next to nothing."""
    labels = "".join(
        f"  l{n}: {{value: {n}, colour: '#dd82{n:02x}', code: SCT^{n}^L}}\n"
        for n in range(1, OUTPUTS)
    )
    head = "name: t\ntitle: T\nlayout: folder\nchannels: {ct: ct}\nlabels:\n"
    plan = recipe.Plan(
        network=recipe.NetworkChoice(name="swin_unetr"),
        patch=LARGE_PATCH,
        spacing_mm=(1.0, 1.0, 1.0),
        windows={"ct": recipe.Window(lower=-200, upper=300, mean=50, deviation=80)},
        batch=1,
        steps_per_epoch=1,
        precision="float32",
        training=recipe.Training(),
        inference=recipe.Inference(overlap=0.5, batch=1),
    )
    task = tasks.parse(head + labels, where="the benchmark")
    made = bundle.write(folder, task, plan, {"weights": torch.zeros(1)})
    return Predictor(made, Cheap().eval(), torch.device("cpu"), Options("float32"))


def predict(predictor: Predictor, scan: Path) -> None:
    """Segment a scan from file to file."""
    job = Job(Scan(Case(scan.name, (scan,))), scan.with_name("labels.nii.gz"))
    settings, report = Settings(overwrite=True), Report(None, {})
    with mock.patch.object(memory, "forget_peak"):  # the peak of all steps is wanted
        outcome = cohort_run.run([job], predictor, settings, report, Silent(), write=export.write)
    for failure in outcome.failures:
        raise failure.error


def measure_files(folder: Path) -> int:
    """Return the rise of the peak for the large scan in `folder`, after the small one."""
    predictor = model(folder / "model")
    predict(predictor, folder / "small.nii.gz")
    memory.give_back()
    return rise_of_peak_bytes(lambda: predict(predictor, folder / "large.nii.gz"))


def files_row() -> Row:
    """Measure a large scan from file to file."""
    with tempfile.TemporaryDirectory() as folder:
        write_scan(Path(folder, "small.nii.gz"), SMALL)
        write_scan(Path(folder, "large.nii.gz"), LARGE)
        rise = int(in_fresh_process(__file__, "files", folder))
    scan, patch = ("x".join(map(str, each)) for each in (LARGE, LARGE_PATCH))
    case = f"{scan} voxels of int16, {OUTPUTS} classes, patches of {patch}"
    quantity = "file to file, rise of peak beside the scan in float32"
    times = rise / (FLOAT * np.prod(LARGE))
    return Row(case, quantity, "times", float(times), {"wanted at most": MOST})


def main() -> None:
    """Measure each side in a process of its own."""
    torch.set_num_threads(2)
    if len(sys.argv) > 1:
        side, *folder = sys.argv[1:]
        print(measure_files(Path(*folder)) if side == "files" else measure(side))
        return
    mib = {side: int(in_fresh_process(__file__, side)) / 2**20 for side in ("medseg", "monai")}
    case = f"{'x'.join(map(str, SHAPE))} voxels, {OUTPUTS} classes"
    row = Row(case, "logits to labels, rise of peak", "MiB", mib["medseg"], {"MONAI": mib["monai"]})
    publish("memory", [row, files_row()], packages=["torch", "monai"], threads=2)


if __name__ == "__main__":
    main()
