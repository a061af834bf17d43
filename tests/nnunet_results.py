"""Small results folders of nnU-Net, written by nnU-Net's own means, with a network that was fitted.

`write` makes `DATASET/nnUNetTrainer__nnUNetPlans__3d_fullres`, one checkpoint per fold as
`nnUNetTrainer.save_checkpoint` has it.
"""

import json
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn import functional

PLAIN = {
    "n_stages": 2,
    "features_per_stage": [8, 12],
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[1, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [2, 2, 2]],
    "n_conv_per_stage": [1, 1],
    "n_conv_per_stage_decoder": [1],
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}
RESIDUAL = {
    **{key: value for key, value in PLAIN.items() if key != "n_conv_per_stage"},
    "n_blocks_per_stage": [1, 2],
}
UNET = "dynamic_network_architectures.architectures.unet."
MODULES = ["conv_op", "norm_op", "dropout_op", "nonlin"]
LABELS = {"background": 0, "Dark part": 1, "bright": 2}


def plans(**changes):
    """Return plans of one configuration; its fields and those of the plans can be changed."""
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [16, 20, 24],
        "median_image_size_in_voxels": [20.0, 28.0, 30.0],
        "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": _resampling(order=3, is_seg=False),
        "resampling_fn_seg_kwargs": _resampling(order=1, is_seg=True),
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": _resampling(order=1, is_seg=False),
        "architecture": {
            "network_class_name": UNET + "PlainConvUNet",
            "arch_kwargs": PLAIN,
            "_kw_requires_import": MODULES,
        },
        "batch_dice": True,
    }
    intensities = {
        "max": 900.0, "mean": 95.0, "median": 90.0, "min": -300.0,
        "percentile_00_5": -40.0, "percentile_99_5": 260.0, "std": 55.0,
    }  # fmt: skip
    document = {
        "dataset_name": "Dataset998_Toy",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "experiment_planner_used": "ExperimentPlanner",
        "configurations": {"3d_fullres": configuration},
        "foreground_intensity_properties_per_channel": {"0": intensities, "1": intensities},
    }
    for key, value in changes.items():
        (document if key in document else configuration)[key] = value
    return document


def description(labels=None, channels=("MR",), **fields):
    """Return a `dataset.json`."""
    return {
        "channel_names": {str(place): name for place, name in enumerate(channels)},
        "labels": labels or LABELS,
        "numTraining": 2,
        "file_ending": ".nii.gz",
        **fields,
    }


def write(root, plans, description, *, folds=(0,), mirror_axes=(0, 1, 2), steps=12):
    """Write a results folder with a network that was fitted to blobs, and return its path."""
    folder = root / plans["dataset_name"] / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    for fold in folds:
        (folder / f"fold_{fold}").mkdir(parents=True)
        network = fitted(plans, description, seed=fold, steps=steps)
        save(
            folder / f"fold_{fold}" / "checkpoint_final.pth",
            network,
            plans,
            description,
            mirror_axes,
        )
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def fitted(plans, description, *, seed, steps):
    """Return nnU-Net's network of the plans after some steps towards the blobs of `scan`."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    torch.manual_seed(seed)
    configuration = plans["configurations"]["3d_fullres"]
    architecture = configuration["architecture"]
    channels = len(description["channel_names"])
    regions = [values for values in description["labels"].values() if isinstance(values, list)]
    network = get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        channels,
        len(description["labels"]) - bool(regions),
        deep_supervision=False,
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    image, labels = blobs(tuple(configuration["patch_size"]), channels, seed=seed)
    image = torch.from_numpy((image - image.mean()) / image.std())[None]
    target = torch.from_numpy(labels).long()[None]
    for _ in range(steps):
        optimizer.zero_grad()
        logits = network(image)
        if regions:
            masks = torch.stack([torch.isin(target, torch.tensor(r)) for r in regions], dim=1)
            loss = functional.binary_cross_entropy_with_logits(logits, masks.float())
        else:
            loss = functional.cross_entropy(logits, target)
        loss.backward()
        optimizer.step()
    network.optimizer = optimizer
    return network


def save(path, network, plans, description, mirror_axes=(0, 1, 2)):
    """Write a checkpoint as nnU-Net's trainer does, with all that it holds."""
    from nnunetv2.training.logging.nnunet_logger import LocalLogger
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    logger = LocalLogger()
    logger.log("mean_fg_dice", np.mean([0.5, 0.7]), 0)
    logger.log("dice_per_class_or_region", [np.float32(0.5), np.float64(0.7)], 0)
    logger.log("train_losses", np.float32(-0.3), 0)
    optimizer = network.__dict__.pop("optimizer", None) or torch.optim.SGD(
        network.parameters(), 0.1
    )
    trainer = type("nnUNetTrainer", (SimpleNamespace,), {})(
        local_rank=0, disable_checkpointing=False, is_ddp=False, network=network,
        optimizer=optimizer, grad_scaler=None, logger=logger,
        _best_ema=np.float64(0.6), current_epoch=0,
        my_init_kwargs={
            "plans": plans, "configuration": "3d_fullres", "fold": 0,
            "dataset_json": description, "device": torch.device("cuda"),
        },
        inference_allowed_mirroring_axes=mirror_axes,
    )  # fmt: skip
    nnUNetTrainer.save_checkpoint(trainer, path)


def blobs(shape, channels=1, *, seed=0, scale=1.0):
    """Return an image with dark and bright blobs, and where they are: 1 and 2; 3 in their middle.

    `scale` is the length of a blob, in voxels along each axis relative to the usual.
    """
    rng = np.random.default_rng(seed)
    places = np.stack(
        np.meshgrid(
            *(np.arange(n) / s for n, s in zip(shape, np.broadcast_to(scale, 3), strict=True)),
            indexing="ij",
        ),
        -1,
    )
    labels = np.zeros(shape, np.uint8)
    extent = places[-1, -1, -1]
    for number in range(8):
        centre = rng.uniform(0.1, 0.9, 3) * extent
        distance = (((places - centre) / rng.uniform(3.0, 6.0, 3)) ** 2).sum(-1)
        labels[distance < 1] = 1 + number % 2
        labels[(distance < 0.3) & (labels == 2)] = 3 if channels > 1 else 2
    level = np.array([100, 40, 180, 240], np.float32)[labels]
    image = [level + rng.normal(0, 8, shape) + 10 * channel for channel in range(channels)]
    return np.stack(image).astype(np.float32), labels


def _resampling(*, order, is_seg):
    return {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}
