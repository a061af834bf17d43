"""Two of MONAI's random changes made faster, equal to them in distribution.

`RandAffined` samples image and labels on a grid each, in two passes over coordinates of four
components; `RandGaussianNoised` draws in float64. Here both keys share one grid, and noise is drawn
in float32. On a patch of 96x96x96 that takes three quarters, and a quarter, of the time.
"""

import numpy as np
import torch
from jaxtyping import Float32
from monai.transforms import RandomizableTransform
from torch import Tensor
from torch.nn import functional

Patch = dict[str, Tensor]


class RandomAffine(RandomizableTransform):  # type: ignore[misc]  # MONAI ships no types
    """Turn and scale about the middle of a patch; outside, the outermost voxel holds.

    Equal to MONAI's `RandAffined` with `rotate_range`, `scale_range`, padding by the border,
    bilinear sampling of the image and nearest of the labels.

    Args:
        image: Key of the image, (channels i j k).
        labels: Key of the labels, (1 i j k).
        probability: How often anything is done.
        angle: Largest angle about each axis, in radians.
        scale: Largest part by which each axis is scaled.
        across: The axis (0, 1 or 2) across thick slices, if they are: a patch is then turned about
            it alone and not scaled along it, so that no slice takes voxels of another.
    """

    def __init__(
        self,
        image: str,
        labels: str,
        *,
        probability: float,
        angle: float,
        scale: float,
        across: int | None = None,
    ) -> None:
        super().__init__(probability)
        self.across = across
        self.image = image
        self.labels = labels
        self.angle = angle
        self.scale = scale

    def __call__(self, data: Patch) -> Patch:
        """Return the patch, changed or not."""
        self.randomize(None)
        if not self._do_transform:
            return data
        angles = self.R.uniform(-self.angle, self.angle, size=3)
        factors = self.R.uniform(1 - self.scale, 1 + self.scale, size=3)
        if self.across is not None:
            angles = np.where(np.arange(3) == self.across, angles, 0.0)
            factors[self.across] = 1.0
        matrix = rotation(angles) * factors  # scale first, then turn
        image, labels = data[self.image], data[self.labels]
        grid = _grid(matrix, image)
        return data | {
            self.image: _sampled(image, grid, "bilinear"),
            self.labels: _sampled(labels, grid, "nearest"),
        }


class RandomNoise(RandomizableTransform):  # type: ignore[misc]  # MONAI ships no types
    """Add normal noise, whose deviation is drawn between 0 and `deviation`.

    Equal in distribution to MONAI's `RandGaussianNoised`.

    Args:
        image: Key of the image.
        probability: How often anything is done.
        deviation: Largest standard deviation.
    """

    def __init__(self, image: str, *, probability: float, deviation: float) -> None:
        super().__init__(probability)
        self.image = image
        self.deviation = deviation

    def __call__(self, data: Patch) -> Patch:
        """Return the patch, changed or not."""
        self.randomize(None)
        if not self._do_transform:
            return data
        deviation = self.R.uniform(0, self.deviation)
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31)))
        image = data[self.image]
        noise = torch.randn(image.shape, generator=generator).to(image)
        return data | {self.image: torch.add(image, noise, alpha=deviation)}


def rotation(angles: np.ndarray) -> np.ndarray:
    """Return the matrix that turns about the third axis, then the second, then the first.

    Args:
        angles: About the first, the second and the third axis, in radians.
    """
    (a, b, c), (x, y, z) = np.cos(angles), np.sin(angles)
    first = np.array([[1, 0, 0], [0, a, -x], [0, x, a]])
    second = np.array([[b, 0, y], [0, 1, 0], [-y, 0, b]])
    third = np.array([[c, -z, 0], [z, c, 0], [0, 0, 1]])
    return first @ second @ third


def _grid(matrix: np.ndarray, image: Tensor) -> Float32[Tensor, "1 i j k 3"]:
    """Return where each voxel is taken from, in torch's coordinates: from -1 to 1, last axis first.

    Args:
        matrix: From the voxels of the result to those of the image, both from the middle.
        image: Gives the shape.
    """
    shape = np.array(image.shape[1:])
    relative = matrix * shape / shape[:, None]
    theta = torch.zeros(1, 3, 4)
    theta[0, :, :3] = torch.from_numpy(relative[::-1, ::-1].copy())
    return functional.affine_grid(theta, [1, 1, *image.shape[1:]], align_corners=False).to(image)


def _sampled(voxels: Tensor, grid: Tensor, mode: str) -> Tensor:
    return functional.grid_sample(
        voxels[None], grid, mode=mode, padding_mode="border", align_corners=False
    )[0]
