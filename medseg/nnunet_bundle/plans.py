"""What an nnU-Net `plans.json` says of one configuration: preprocessing, patch, network.

Source: https://github.com/MIC-DKFZ/nnUNet, `documentation/explanation_plans_files.md`
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medseg.errors import ModelError
from medseg.shapes import Shape, Spacing

SCHEMES: Final = (
    "CTNormalization",
    "ZScoreNormalization",
    "NoNormalization",
    "RescaleTo01Normalization",
    "RGBTo01Normalization",
)
"""Normalisations of nnU-Net, all of which we have."""

READERS: Final = {
    "SimpleITKIO": False,
    "NibabelIO": False,
    "SimpleITKIOWithReorient": True,
    "NibabelIOWithReorient": True,
}
"""Readers of nnU-Net for volumes, and whether they turn the axes to RAS+."""

_DEFAULTS: Final = {
    "preprocessor_name": "DefaultPreprocessor",
    "label_manager": "LabelManager",
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
}
_ANISOTROPIC: Final = 3.0
_ORDERS: Final = {"data": (1, 3), "probabilities": (1,)}
_UNET: Final = "dynamic_network_architectures.architectures.unet."


@dataclass(frozen=True)
class Resampling:
    """How a resampling is done.

    Attributes:
        order: Of the splines: 1 or 3.
        order_z: Along the axis with thick slices, if it is treated by itself: 0 or 1.
        separate: Whether it always is (True), never (False), or where slices are thick (None).
        threshold: How many times the smallest spacing a thick slice is.
    """

    order: int
    order_z: int
    separate: bool | None
    threshold: float

    def separate_axis(self, spacing_mm: Spacing, target_mm: Spacing) -> int | None:
        """Return the axis that is treated by itself on the way from one spacing to the other."""
        for spacing in (spacing_mm, target_mm):
            thick = [axis for axis in range(3) if spacing[axis] == max(spacing)]
            if self.separate or (
                self.separate is None and max(spacing) / min(spacing) > self.threshold
            ):
                return thick[0] if len(thick) == 1 else None
        return None


@dataclass(frozen=True)
class Configuration:
    """One configuration of the plans; axes are those of the network.

    Attributes:
        name: Such as `3d_fullres`.
        patch: Voxels along each axis.
        spacing_mm: Voxel size to work at.
        transpose: For each axis, which of k, j, i of the file it is.
        turned: Whether the file's axes are turned to RAS+ first.
        schemes: For each channel, how it is normalised.
        masked: For each channel, whether only voxels that are not zero count for that.
        intensities: For each channel, statistics of the training set by name.
        data: How images are resampled.
        probabilities: How a network's outputs are resampled.
        network: Name of its class.
        options: What the class is built with beside the channels.
    """

    name: str
    patch: Shape
    spacing_mm: Spacing
    transpose: tuple[int, int, int]
    turned: bool
    schemes: tuple[str, ...]
    masked: tuple[bool, ...]
    intensities: tuple[Mapping[str, float], ...]
    data: Resampling
    probabilities: Resampling
    network: str
    options: Mapping[str, Any]


def parse(plans: Mapping[str, Any], name: str, *, where: Path) -> Configuration:
    """Read the configuration `name`.

    Raises:
        ModelError: It is damaged, or is of a kind that medseg does not have.
    """
    try:
        fields = _inherited(plans["configurations"], name)
        _refuse_other_kinds(plans, fields, name, where)
        channels = range(len(fields["normalization_schemes"]))
        architecture = fields.get("architecture") or _of_old_plans(fields)
        return Configuration(
            name=name,
            patch=_three(fields["patch_size"], int),
            spacing_mm=_three(fields["spacing"], float),
            transpose=_three(plans["transpose_forward"], int),
            turned=READERS[plans["image_reader_writer"]],
            schemes=tuple(fields["normalization_schemes"]),
            masked=tuple(bool(masked) for masked in fields["use_mask_for_norm"]),
            intensities=tuple(_intensities(plans).get(str(channel), {}) for channel in channels),
            data=_resampling(fields, "data", where),
            probabilities=_resampling(fields, "probabilities", where),
            network=str(architecture["network_class_name"]),
            options=dict(architecture["arch_kwargs"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise ModelError(
            f"does not describe the configuration {name} as nnU-Net does: {said:.200}",
            where=where,
            remedy="Copy the folder anew from where it was trained",
        ) from error


def _inherited(configurations: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a configuration with what it inherits."""
    chain = [dict(configurations[name])]
    while (parent := chain[-1].get("inherits_from")) is not None:
        if len(chain) > len(configurations):
            raise ValueError(f"{name} inherits from itself")
        chain.append(dict(configurations[parent]))
    fields: dict[str, Any] = {}
    for level in reversed(chain):
        fields |= level
    return fields


def _refuse_other_kinds(
    plans: Mapping[str, Any], fields: Mapping[str, Any], name: str, where: Path
) -> None:
    def refuse(what: str, remedy: str) -> None:
        raise ModelError(what, where=where, remedy=remedy)

    if len(fields["patch_size"]) != 3:
        refuse(
            f"configuration {name} segments slices; medseg predicts volumes alone",
            "Give the folder of a 3d_fullres or 3d_lowres configuration, or use nnUNetv2_predict",
        )
    if fields.get("previous_stage"):
        refuse(
            f"configuration {name} is the second stage of a cascade,"
            f" which needs the result of {fields['previous_stage']}",
            f"Give the folder of {fields['previous_stage']} or of 3d_fullres,"
            " or use nnUNetv2_predict",
        )
    reader = plans["image_reader_writer"]
    if reader not in READERS:
        refuse(
            f"was trained on images that nnU-Net reads with {reader}",
            f"medseg stands in for {', '.join(READERS)}; use nnUNetv2_predict",
        )
    for key, usual in _DEFAULTS.items():
        found = fields.get(key, plans.get(key, usual))
        if found != usual:
            refuse(f"has {key} {found}; medseg knows {usual}", "Use nnUNetv2_predict")
    unknown = [scheme for scheme in fields["normalization_schemes"] if scheme not in SCHEMES]
    if unknown:
        refuse(
            f"normalises with {', '.join(unknown)}; medseg knows {', '.join(SCHEMES)}",
            "Use nnUNetv2_predict",
        )


def _resampling(fields: Mapping[str, Any], kind: str, where: Path) -> Resampling:
    given = fields.get(f"resampling_fn_{kind}_kwargs", {})
    separate = given.get("force_separate_z", None)
    found = Resampling(
        order=int(given.get("order", 3)),
        order_z=int(given.get("order_z", 0)),
        separate=None if separate is None else bool(separate),
        threshold=float(given.get("separate_z_anisotropy_threshold", _ANISOTROPIC)),
    )
    if found.order not in _ORDERS[kind] or found.order_z not in (0, 1):
        raise ModelError(
            f"resamples {kind} with splines of order {found.order}, {found.order_z} between slices",
            where=where,
            remedy="medseg has the orders of nnU-Net's own plans; use nnUNetv2_predict",
        )
    return found


def _intensities(plans: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the statistics by channel; older plans have another word for them."""
    old = plans.get("foreground_intensity_properties_by_modality", {})
    return plans.get("foreground_intensity_properties_per_channel", old)


def _of_old_plans(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the network of plans written before nnU-Net 2.4, which had two kinds of it."""
    name = fields["UNet_class_name"]
    stages = len(fields["n_conv_per_stage_encoder"])
    most = int(fields["unet_max_num_features"])
    first = int(fields["UNet_base_num_features"])
    per_stage = "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage"
    options = {
        "n_stages": stages,
        "features_per_stage": [min(first * 2**stage, most) for stage in range(stages)],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": fields["conv_kernel_sizes"],
        "strides": fields["pool_op_kernel_sizes"],
        per_stage: fields["n_conv_per_stage_encoder"],
        "n_conv_per_stage_decoder": fields["n_conv_per_stage_decoder"],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return {"network_class_name": _UNET + name, "arch_kwargs": options}


def _three(values: Any, kind: type) -> Any:
    first, second, third = (kind(value) for value in values)
    return (first, second, third)
