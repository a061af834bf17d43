"""A synthetic data set for the task `phantom`: bodies with a whole, a core and an inner part.

The anatomy is drawn in millimetres around the world's origin, so that it does not depend on the
grid it is sampled on. No threshold finds the core: its outer part is bright in the first channel
and dark in the second, its inner part the other way round, while other bodies share one of the
two contrasts, and thin vessels share both.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nibabel
import numpy as np
from jaxtyping import Float64, Int16, UInt8

from medseg import files
from medseg.formats import nifti
from medseg.shapes import Affine, Mask, Shape, Spacing
from medseg.volume import Grid

RIM: Final = 1
MANTLE: Final = 2
INNER: Final = 4

Contrast = tuple[float, float]
"""Brightness in the first and second channel; the tissue around has 1 in both."""

Places = Float64[np.ndarray, "i j k 3"]
"""World coordinates of every voxel's centre, in millimetres."""

_HEAD_MM: Final = (22.5, 22.5, 18.5)
_AIR: Final[Contrast] = (0.1, 0.1)
_CONTRASTS: Final[dict[int, Contrast]] = {RIM: (1.5, 1.5), MANTLE: (1.5, 0.5), INNER: (0.5, 1.5)}
_DISTRACTORS: Final[tuple[Contrast, ...]] = ((0.5, 0.5), (1.0, 0.5), (0.5, 1.0), (1.5, 1.0))
_VESSELS: Final[tuple[Contrast, ...]] = ((1.5, 0.5), (0.5, 1.5), (1.5, 1.5))
_VESSEL_RADIUS_MM: Final = 1.2
_NOISE: Final = 0.1
_UNITS: Final = 400.0


@dataclass(frozen=True, eq=False)
class Body:
    """An ellipsoid with an uneven surface.

    Attributes:
        centre_mm: Its place.
        radius_mm: Its mean radius.
        stretch: World coordinates about the centre to those in which it is a sphere.
        waves: Directions and lengths of the waves on its surface, in radians per millimetre.
    """

    centre_mm: Float64[np.ndarray, "3"]
    radius_mm: float
    stretch: Float64[np.ndarray, "3 3"]
    waves: Float64[np.ndarray, "number 3"]

    def mask(self, places: Places) -> Mask:
        """Mark the voxels whose centre lies in the body."""
        about = places - self.centre_mm
        distance_mm = np.linalg.norm(about @ self.stretch.T, axis=-1)
        unevenness = np.cos(about @ self.waves.T).mean(axis=-1)
        return distance_mm < self.radius_mm * (1 + 0.15 * unevenness)


def make_case(
    seed: int, shape: Shape = (48, 48, 40), affine: Affine | None = None
) -> tuple[Int16[np.ndarray, "channels i j k"], UInt8[np.ndarray, "i j k"]]:
    """Draw one case: its two channels and its label map.

    Args:
        seed: Chooses the anatomy, and the noise for a given shape.
        shape: Number of voxels.
        affine: Where they lie; 1 mm apart around the world's origin if absent.
    """
    affine = centred_affine(shape) if affine is None else affine
    anatomy, noise = (np.random.default_rng([seed, part]) for part in (0, 1))
    places = _places(shape, affine)
    whole, core, inner = _structures(anatomy)
    label_map = _label_map(whole, core, inner, places)
    brightness = _paint(anatomy, whole, label_map, places)
    for channel in range(2):
        brightness[channel] *= 1 + 0.06 * _smooth(anatomy, places, shortest_mm=7, longest_mm=20)
        brightness[channel] *= 1 + 0.08 * _smooth(anatomy, places, shortest_mm=50, longest_mm=90)
        brightness[channel] *= anatomy.uniform(0.4, 2.5)
    level = brightness.mean(axis=(1, 2, 3), keepdims=True)
    noisy = brightness + _NOISE * level * noise.standard_normal(brightness.shape)
    return np.round(_UNITS * noisy).clip(-(2**15), 2**15 - 1).astype(np.int16), label_map


def centred_affine(shape: Shape, spacing_mm: Spacing = (1.0, 1.0, 1.0)) -> Affine:
    """Return the affine of a grid along the world's axes with its centre at the origin."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * np.array(spacing_mm)
    return affine


def write_dataset(
    folder: Path,
    *,
    cases: int,
    seed: int,
    test_cases: int = 0,
    shape: Shape = (48, 48, 40),
    spacing_mm: Spacing = (1.0, 1.0, 1.0),
    affine: Affine | None = None,
) -> None:
    """Write a data set in the layout of the Medical Segmentation Decathlon.

    Args:
        folder: Where to; it gets `dataset.json`, `imagesTr`, `labelsTr`, `imagesTs`, `labelsTs`.
        cases: How many to train on.
        seed: Equal seeds give equal files.
        test_cases: How many unseen ones to add, with their labels in `labelsTs`.
        shape: Number of voxels.
        spacing_mm: Distance between them, on a grid around the origin.
        affine: Where the voxels lie, in place of `spacing_mm`.

    Raises:
        OutputError: The files cannot be written.
    """
    affine = centred_affine(shape, spacing_mm) if affine is None else affine
    names = [f"phantom_{number:03d}" for number in range(cases + test_cases)]
    for number, name in enumerate(names):
        part = "Tr" if number < cases else "Ts"
        voxels, label_map = make_case(seed * 10_000 + number, shape, affine)
        _write_image(folder / f"images{part}" / f"{name}.nii.gz", voxels, affine)
        grid = Grid(shape, affine)
        nifti.write_label_map(folder / f"labels{part}" / f"{name}.nii.gz", label_map, grid)
    description = _description(names[:cases], names[cases:])
    files.write_text(folder / "dataset.json", json.dumps(description, indent=2) + "\n")


def _places(shape: Shape, affine: Affine) -> Places:
    indices = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij"), axis=-1)
    return indices @ affine[:3, :3].T + affine[:3, 3]


def _structures(rng: np.random.Generator) -> tuple[Body, Body, Body]:
    whole_mm = rng.uniform(9.0, 14.0)
    core_mm = rng.uniform(6.0, min(9.0, 0.75 * whole_mm))
    inner_mm = rng.uniform(3.5, min(5.5, 0.65 * core_mm))
    room_mm = np.array(_HEAD_MM) - whole_mm - 2.0
    centre_mm = rng.uniform(-1, 1, 3) * room_mm.clip(0)
    core_centre_mm = centre_mm + _direction(rng) * rng.uniform(0, 0.7) * (whole_mm - core_mm)
    inner_centre_mm = core_centre_mm + _direction(rng) * rng.uniform(0, 0.5) * (core_mm - inner_mm)
    return (
        _body(rng, centre_mm, whole_mm),
        _body(rng, core_centre_mm, core_mm),
        _body(rng, inner_centre_mm, inner_mm),
    )


def _body(rng: np.random.Generator, centre_mm: np.ndarray, radius_mm: float) -> Body:
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    lengths = rng.uniform(0.87, 1.15, 3)
    lengths /= np.prod(lengths) ** (1 / 3)
    waves = np.stack([_direction(rng) for _ in range(4)]) * (2.5 / radius_mm)
    return Body(centre_mm, float(radius_mm), rotation * lengths, waves)


def _direction(rng: np.random.Generator) -> Float64[np.ndarray, "3"]:
    vector = rng.standard_normal(3)
    return vector / np.linalg.norm(vector)


def _label_map(whole: Body, core: Body, inner: Body, places: Places) -> UInt8[np.ndarray, "i j k"]:
    in_whole = whole.mask(places)
    in_core = in_whole & core.mask(places)
    label_map = in_whole.astype(np.uint8) * np.uint8(RIM)
    label_map[in_core] = MANTLE
    label_map[in_core & inner.mask(places)] = INNER
    return label_map


def _paint(
    rng: np.random.Generator,
    whole: Body,
    label_map: UInt8[np.ndarray, "i j k"],
    places: Places,
) -> Float64[np.ndarray, "2 i j k"]:
    brightness = np.ones((2, *label_map.shape))
    for mask, contrast in _distractors(rng, whole, places):
        brightness[:, mask] = np.array(contrast)[:, None]
    outside = (np.abs(places / np.array(_HEAD_MM)) ** 4).sum(axis=-1) > 1
    brightness[:, outside] = np.array(_AIR)[:, None]
    for value, contrast in _CONTRASTS.items():
        brightness[:, label_map == value] = np.array(contrast)[:, None]
    return brightness


def _distractors(
    rng: np.random.Generator, whole: Body, places: Places
) -> Iterator[tuple[Mask, Contrast]]:
    for contrast in rng.permutation(np.array(_DISTRACTORS * 2)):
        radius_mm = rng.uniform(4.5, 7.5)
        apart_mm = whole.radius_mm * 1.2 + radius_mm
        centre_mm = whole.centre_mm + _direction(rng) * apart_mm
        yield _body(rng, centre_mm, radius_mm).mask(places), _pair(contrast)
    for contrast in rng.permutation(np.array(_VESSELS * 2)):
        through_mm = rng.uniform(-0.8, 0.8, 3) * np.array(_HEAD_MM)
        about = places - through_mm
        along = _direction(rng)
        across = about - (about @ along)[..., None] * along
        across = across + 1.5 * np.cos(about @ along / 4)[..., None] * _direction(rng)
        yield np.linalg.norm(across, axis=-1) < _VESSEL_RADIUS_MM, _pair(contrast)


def _pair(contrast: np.ndarray) -> Contrast:
    return (float(contrast[0]), float(contrast[1]))


def _smooth(
    rng: np.random.Generator, places: Places, *, shortest_mm: float, longest_mm: float
) -> Float64[np.ndarray, "i j k"]:
    """Sum waves of random direction and length to a texture between about -2 and 2."""
    total = np.zeros(places.shape[:3])
    number = 8
    for _ in range(number):
        length_mm = rng.uniform(shortest_mm, longest_mm)
        phase = rng.uniform(0, 2 * np.pi)
        total += np.cos(places @ _direction(rng) * (2 * np.pi / length_mm) + phase)
    return total * np.sqrt(2 / number)


def _write_image(path: Path, voxels: Int16[np.ndarray, "channels i j k"], affine: Affine) -> None:
    image = nibabel.Nifti1Image(np.moveaxis(voxels, 0, 3), affine)
    image.header.set_xyzt_units("mm")
    files.write_bytes(path, gzip.compress(image.to_bytes(), compresslevel=4, mtime=0))


def _description(training: list[str], test: list[str]) -> dict[str, object]:
    return {
        "name": "phantom",
        "description": "Synthetic bodies with a whole, a core and an inner part",
        "reference": "medseg",
        "licence": "Apache-2.0",
        "release": "1.0",
        "tensorImageSize": "4D",
        "modality": {"0": "first", "1": "second"},
        "labels": {"0": "background", "1": "rim", "2": "mantle", "4": "inner"},
        "numTraining": len(training),
        "numTest": len(test),
        "training": [
            {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
            for name in training
        ],
        "test": [f"./imagesTs/{name}.nii.gz" for name in test],
    }
