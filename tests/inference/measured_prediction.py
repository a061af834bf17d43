"""A prediction in a process of its own: what was planned and what was taken, as JSON.

Arguments: what is made cheaper or dearer, as JSON; see `main`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from medseg import memory, networks, recipe
from medseg import task as tasks
from medseg.bundle import Bundle
from medseg.data import intensity, preprocessing, resampling
from medseg.data.description import describe_labels
from medseg.export import nifti
from medseg.formats import read
from medseg.inference import memory_plan, predict, scan_size
from medseg.inference.options import Options
from medseg.nnunet_bundle import NnunetBundle
from medseg.nnunet_bundle.plans import parse
from medseg.volume import Grid, Volume


class Cheap(nn.Module):
    """Costs next to nothing: each output likes another intensity."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.linspace(-1, 1, outputs).view(1, outputs, 1, 1, 1))

    def forward(self, patches: Tensor) -> Tensor:
        return patches.sub(self.level).abs_().neg_()


def organs(outputs: int) -> tasks.Task:
    """CT with background and so many others."""
    labels = "".join(
        f"  l{n}: {{value: {n}, colour: '#dd82{n:02x}', code: SCT^{n}^L}}\n"
        for n in range(1, outputs)
    )
    head = "name: t\ntitle: T\nlayout: folder\nchannels: {ct: ct}\nlabels:\n"
    return tasks.parse(head + labels, where="here")


def plan_of(patch: list[int], spacing_mm: list[float], batch: int) -> recipe.Plan:
    """A plan whose patches meet without overlap, which takes as much memory in less time."""
    return recipe.Plan.model_validate(
        {
            "network": {"name": "swin_unetr"},
            "patch": patch,
            "spacing_mm": spacing_mm,
            "windows": {"ct": {"lower": -200, "upper": 300, "mean": 50, "deviation": 80}},
            "batch": 1,
            "steps_per_epoch": 1,
            "precision": "float32",
            "training": recipe.Training(),
            "inference": recipe.Inference(overlap=0.0, batch=batch),
        }
    )


def write_scan(path: Path, shape: tuple[int, ...]) -> None:
    """Blocks of even intensity, slice by slice."""
    import nibabel

    rng, voxels = np.random.default_rng(0), np.empty(shape, np.int16, order="F")
    coarse = rng.integers(-300, 400, [length // 16 + 1 for length in shape], dtype=np.int16)
    for k in range(shape[2]):
        plane = coarse[:, :, k // 16].repeat(16, 0).repeat(16, 1)
        voxels[:, :, k] = plane[: shape[0], : shape[1]]
    nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(path)


class Made(Bundle):
    """A bundle whose network is not read."""

    def build_network(self) -> nn.Module:
        return Cheap(self.task.out_channels).eval()


def model(
    folder: Path, task: tasks.Task, plan: recipe.Plan, plans: dict | None
) -> Made | NnunetBundle:
    """A model of medseg, or with `plans` one of nnU-Net."""
    if plans is None:
        return Made(folder, task, plan)
    configuration = parse(plans, "3d_fullres", where=folder)
    return NnunetBundle(folder, task, plan, configuration, (folder,), mirror_axes=(0,))


def main(
    folder: Path,
    *,
    shape,
    patch,
    outputs,
    spacing_mm,
    network,
    batch,
    small,
    tta,
    plans,
    other_mm,
) -> dict:
    """Predict a scan from file to file.

    Args:
        folder: For the files.
        shape: Voxels of the scan.
        patch: Of the network.
        outputs: Of the network.
        spacing_mm: Of the model; that of the scan is 1 mm.
        network: `cheap`, or one of medseg.
        batch: Patches at once.
        small: Whether working sizes that do not grow with the scan shrink as the scan does.
        tta: Whether it is predicted mirrored too, by a model of nnU-Net along its first axis.
        plans: Of a model of nnU-Net; else it is one of medseg.
        other_mm: Voxel size of a second model whose probabilities are averaged with the first's.
    """
    torch.set_num_threads(1)
    if small:
        preprocessing.LARGE, intensity.PIECE_VOXELS = 1, 1 << 17
        resampling.SLAB_BYTES = 1 << 20
    write_scan(folder / "scan.nii", tuple(shape))
    task, plan = organs(outputs), plan_of(patch, spacing_mm, batch)
    options = {"in_channels": 1, "out_channels": outputs, "size": "tiny"}
    built = Cheap(outputs) if network == "cheap" else networks.build(network, **options)
    how, others = Options("float32", tta=tta), ()
    if other_mm is not None:
        others = (Made(folder, task, plan_of(patch, other_mm, batch)),)
    predictor = predict.Predictor(
        model(folder, task, plan, plans), built.eval(), torch.device("cpu"), how, others
    )
    warm = np.zeros((1, *(size + 1 for size in patch)), np.int16)
    warm[0, 0] = 1
    predict.predict_measured(
        predictor, Volume(warm, Grid(warm.shape[1:], np.eye(4))), keep_entropy=False
    )
    describe_labels(Volume(warm, Grid(warm.shape[1:], np.eye(4))), warm[0], task)
    memory.give_back()
    before = memory.resident_bytes()
    there = memory_plan.budget(predictor, None)
    memory.give_back()
    size = scan_size.of_file(folder / "scan.nii")
    planned = there.needs(size, predictor).host
    memory.forget_peak()
    volume = read(folder / "scan.nii")
    found = predict.predict_measured(predictor, volume, keep_entropy=False)
    memory.give_back()  # as in a cohort
    describe_labels(volume, found.segmentation.label_map, task)
    nifti.write(folder / "out.nii.gz", found.segmentation)
    return {
        "planned": planned,
        "measured": memory.peak_bytes() - before,
        "labels": len(np.unique(found.segmentation.label_map)),
        "scan": int(np.prod(shape)) * 4,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), **json.loads(sys.argv[2]))) + "\n")
