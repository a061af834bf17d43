"""A results folder of nnU-Net gives with medseg what it gives with nnU-Net's own predictor."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch

from medseg.inference.interface import Predictor
from medseg.inference.options import Options
from tests import nnunet_results as results

EXACT = Options(precision="float32")
REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "inner": [3]}
SCHEMES = {
    "normalization_schemes": ["ZScoreNormalization", "CTNormalization"],
    "use_mask_for_norm": [True, False],
}

# the spacing and shape of the scan, the affine's axes, and what differs in plans and description
CASES = {
    "isotropic": ((0.8, 0.9, 0.8), (30, 28, 33), "RAS", {}, {}),
    "thick slices": ((0.8, 0.8, 4.0), (30, 32, 12), "RAS", {"spacing": [3.0, 1.0, 1.0]}, {}),
    "thick slices become thin": ((1.1, 1.1, 4.5), (30, 28, 9), "LPS", {}, {}),
    "the same spacing": ((1.0, 1.0, 1.0), (24, 28, 30), "LPS", {}, {}),
    "permuted and flipped": (
        (0.9, 1.2, 0.8), (28, 24, 30), "PIR", {"transpose_forward": [1, 2, 0],
        "transpose_backward": [2, 0, 1]}, {},
    ),
    "turned by the reader": (
        (0.9, 1.2, 0.8), (28, 24, 30), "SPL", {"image_reader_writer": "NibabelIOWithReorient"}, {},
    ),
    "CT": (
        (0.9, 1.1, 1.3), (28, 27, 24), "LAS", {"normalization_schemes": ["CTNormalization"]}, {},
    ),
    "two channels, regions, zero outside": (
        (1.0, 0.8, 0.9), (40, 38, 36), "RAS", SCHEMES,
        {"labels": REGIONS, "regions_class_order": [1, 2, 3], "channels": ("T1", "CT")},
    ),
    "residual, smaller than the patch": (
        (1.0, 0.9, 1.0), (20, 14, 13), "RAS",
        {"architecture": {
            "network_class_name": results.UNET + "ResidualEncoderUNet",
            "arch_kwargs": results.RESIDUAL, "_kw_requires_import": results.MODULES,
        }}, {},
    ),
}  # fmt: skip


def scans_of(folder, spacing, shape, axes, channels, *, empty):
    """Write the channels of a scan and return their files."""
    image, _ = results.blobs(shape, channels, seed=7, scale=1 / np.array(spacing))
    if empty:
        image[:, :6] = image[:, :, 30:] = image[..., 33:] = 0
    codes = nibabel.orientations.axcodes2ornt(tuple(axes))
    affine = np.zeros((4, 4))
    for voxel, (world, sign) in enumerate(codes):
        affine[int(world), voxel] = sign * spacing[voxel]
    affine[:, 3] = (-20, 11, 5, 1)
    files = []
    for number, channel in enumerate(image):
        files.append(folder / f"case_{number:04d}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(channel, affine), files[-1])
    return files


def with_nnunet(folder, files, out, *, folds, mirrored=False):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        use_mirroring=mirrored, device=torch.device("cpu"), allow_tqdm=False
    )
    predictor.initialize_from_trained_model_folder(str(folder), folds)
    out.mkdir()
    predictor.predict_from_files_sequential([[str(file) for file in files]], str(out))
    return np.asarray(nibabel.load(out / "case.nii.gz").dataobj)


def agreement(one, other):
    """Return the share of equal voxels, of a segmentation in which labels differ over space."""
    shares = np.bincount(other.reshape(-1).astype(int)) / other.size
    assert len(shares) >= 3
    assert shares.min() > 0.01
    return (one == other).mean()


@pytest.mark.filterwarnings("ignore")  # nnU-Net and skimage warn of their own deprecated calls
@pytest.mark.parametrize("name", CASES)
def test_a_model_of_nnunet_says_what_nnunet_says(tmp_path, name):
    spacing, shape, axes, changes, told = CASES[name]
    channels = told.get("channels", ("MR",))
    folder = results.write(tmp_path, results.plans(**changes), results.description(**told))
    files = scans_of(tmp_path, spacing, shape, axes, len(channels), empty="zero" in name)
    expected = with_nnunet(folder, files, tmp_path / "out", folds=(0,))
    predictor = Predictor(folder, device="cpu", options=EXACT)
    names = predictor.task.channels
    found = predictor(dict(zip(names, files, strict=True)))
    assert agreement(found.label_map, expected) >= 0.999


@pytest.mark.filterwarnings("ignore")
def test_folds_are_averaged_as_nnunet_does(tmp_path):
    folder = results.write(tmp_path, results.plans(), results.description(), folds=(0, 3))
    files = scans_of(tmp_path, (0.8, 0.9, 0.8), (30, 28, 33), "RAS", 1, empty=False)
    both = with_nnunet(folder, files, tmp_path / "both", folds=(0, 3))
    one = with_nnunet(folder, files, tmp_path / "one", folds=(3,))
    assert (
        agreement(Predictor(folder, device="cpu", options=EXACT)(files[0]).label_map, both) >= 0.999
    )
    alone = Predictor(folder / "fold_3", device="cpu", options=EXACT)(files[0]).label_map
    assert agreement(alone, one) >= 0.999
    assert (both == one).mean() < 0.999


@pytest.mark.filterwarnings("ignore")
def test_scans_are_mirrored_along_the_axes_of_the_checkpoint(tmp_path):
    plans, description = results.plans(), results.description()
    folder = results.write(tmp_path, plans, description, mirror_axes=(0, 2))
    files = scans_of(tmp_path, (1.0, 1.0, 1.0), (24, 22, 18), "RAS", 1, empty=False)
    expected = with_nnunet(folder, files, tmp_path / "out", folds=(0,), mirrored=True)
    options = replace(EXACT, tta=True)
    found = Predictor(folder, device="cpu", options=options)(files[0]).label_map
    assert agreement(found, expected) >= 0.999
    once = Predictor(folder, device="cpu", options=EXACT)(files[0]).label_map
    assert (once != expected).any()
