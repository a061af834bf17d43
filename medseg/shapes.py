"""Shapes by name, so that a signature says what an array holds.

Voxel axes are always `i j k`, as in the file; world axes are RAS+ and in millimetres.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Integer, Shaped

Shape = tuple[int, int, int]
"""Number of voxels along i, j and k."""

Box = tuple[slice, slice, slice]
"""A part of a volume."""

Spacing = tuple[float, float, float]
"""Distance between voxel centres along i, j and k, in millimetres."""

Affine = Float64[np.ndarray, "4 4"]
"""Voxel indices to RAS+ world coordinates in millimetres."""

Voxels = Shaped[np.ndarray, "channels i j k"]
"""An image with its channels first, of any type."""

Image = Float32[np.ndarray, "channels i j k"]
"""An image ready for a network."""

LabelMap = Integer[np.ndarray, "i j k"]
"""One integer label per voxel; 0 is background."""

Mask = Bool[np.ndarray, "i j k"]
"""One structure."""

Masks = Bool[np.ndarray, "regions i j k"]
"""One mask per region; regions may overlap."""

Scores = Float32[np.ndarray, "outputs i j k"]
"""Logits of a network on an image's grid."""
