"""Intensities on a common scale, as nnU-Net's plans say for each channel.

Source: Isensee et al. 2021, nnU-Net, https://doi.org/10.1038/s41592-020-01008-z, supplement.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32

from medseg.nnunet_bundle.plans import Configuration
from medseg.shapes import Image, Voxels

_SMALLEST: Final = 1e-8
"""What is never divided by less than."""

Channel = Float32[np.ndarray, "i j k"]
Inside = Bool[np.ndarray, "i j k"]


def normalise(voxels: Voxels, configuration: Configuration) -> Image:
    """Bring every channel to the scale that its scheme asks for."""
    image = np.array(voxels, dtype=np.float32, order="C")
    inside = _inside(voxels) if any(configuration.masked) else None
    for channel, scheme, masked, known in zip(
        image,
        configuration.schemes,
        configuration.masked,
        configuration.intensities,
        strict=True,
    ):
        if scheme == "CTNormalization":
            _by_training(channel, known)
        elif scheme == "ZScoreNormalization":
            _by_itself(channel, inside if masked else None)
        elif scheme == "RescaleTo01Normalization":
            channel -= channel.min()
            channel /= max(float(channel.max()), _SMALLEST)
        elif scheme == "RGBTo01Normalization":
            channel /= 255
    return image


def _inside(voxels: Voxels) -> Inside:
    """Tell which voxels are not zero in some channel, or are enclosed by such."""
    from scipy import ndimage

    filled: Inside = ndimage.binary_fill_holes((voxels != 0).any(axis=0))
    return filled


def _by_training(channel: Channel, known: Mapping[str, float]) -> None:
    np.clip(channel, known["percentile_00_5"], known["percentile_99_5"], out=channel)
    channel -= known["mean"]
    channel /= max(known["std"], _SMALLEST)


def _by_itself(channel: Channel, inside: Inside | None) -> None:
    """Shift and scale to mean 0 and deviation 1; voxels outside stay as they are."""
    values = channel if inside is None else channel[inside]
    mean = values.mean(dtype=np.float64)
    deviation = max(float(values.std(dtype=np.float64)), _SMALLEST)
    values -= np.float32(mean)
    values /= np.float32(deviation)
    if inside is not None:
        channel[inside] = values
