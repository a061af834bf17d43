"""Scores agree with those of other programs, each in its convention, on masks of many kinds."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.distance import cdist

from medseg.evaluation import conventions
from medseg.evaluation.metrics import assd, hd, hd95, masd, nsd
from medseg.evaluation.pair import Pair, Status

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # they import from namespaces that SciPy has deprecated
    from medpy.metric import binary as medpy
    from monai import metrics as monai
    from nnunetv2.evaluation import evaluate_predictions as nnunet
    from surface_distance import metrics as deepmind

# MONAI 1.6 calls itself with an argument it has deprecated; surface-distance 0.1 imports from
# namespaces that SciPy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*this may result in nan:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Please import .*scipy.ndimage:DeprecationWarning"),
]

SPACINGS_MM = [(1.0, 1.0, 1.0), (1.4, 1.4, 10.0), (0.8, 0.8, 3.0), (0.5, 2.0, 3.0)]
TOLERANCE_MM = 1.7  # no sum of these steps, so that rounding decides nothing


def random_pair(seed):
    """Noise, coarse or fine, sparse or dense, up to the border of the image."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(4, 14, 3).tolist())
    noise = ndimage.gaussian_filter(rng.normal(size=(2, *shape)), [0, *[rng.choice([0, 1, 2])] * 3])
    level = np.quantile(noise, rng.choice([0.1, 0.5, 0.8, 0.97]), axis=(1, 2, 3), keepdims=True)
    masks = noise > level
    return Pair(masks[0], masks[1], SPACINGS_MM[seed % 4], tolerance_mm=TOLERANCE_MM)


def ball(centre, radii, shape=(16, 15, 12)):
    steps = [(axis - c) / r for axis, c, r in zip(np.indices(shape), centre, radii, strict=True)]
    return np.sum(np.square(steps), axis=0) <= 1


def structured_masks():
    """A ball beside what goes wrong with a ball."""
    one = ball((7, 7, 6), (5, 4, 3))
    dot, rod, plate, shell = np.zeros((4, *one.shape), dtype=bool)
    dot[7, 7, 6] = rod[:, 7, 6] = plate[:, :, 6] = True
    shell |= one & ~ndimage.binary_erosion(one)
    others = [
        *(np.roll(one, shift, axis) for axis in range(3) for shift in (1, -2)),
        *(dot, rod, plate, shell, ~one, np.ones_like(one)),
        *(one | ball((14, 13, 10), (1, 1, 1)), one & ~dot, one & (np.indices(one.shape)[0] < 7)),
        *(ball((2, 7, 6), (5, 4, 3)), ball((0, 0, 0), (4, 4, 4)), ball((7, 7, 6), (2, 2, 2))),
        *(one.copy(), ndimage.binary_dilation(one, iterations=2)),
    ]
    return [(one, other) for other in others]


def structured_pair(index):
    reference, prediction = structured_masks()[index]
    return Pair(reference, prediction, SPACINGS_MM[index % 4], tolerance_mm=TOLERANCE_MM)


def by_monai(pair):
    reference, prediction = (
        torch.from_numpy(mask[None, None].astype(np.float32))
        for mask in (pair.reference, pair.prediction)
    )
    setting = {"include_background": True, "spacing": list(pair.spacing_mm)}
    both = (prediction, reference)
    thresholds = [pair.tolerance_mm]
    return {
        "dice": float(monai.compute_dice(*both)),
        "nsd": float(monai.compute_surface_dice(*both, class_thresholds=thresholds, **setting)),
        "hd95_mm": float(monai.compute_hausdorff_distance(*both, percentile=95, **setting)),
        "assd_mm": float(monai.compute_average_surface_distance(*both, symmetric=True, **setting)),
    }


def by_medpy(pair):
    both = (pair.prediction, pair.reference)
    spacing_mm = pair.spacing_mm
    # MedPy catches Python's error of dividing by zero, where NumPy's numbers now warn
    dice = 1.0 if pair.status is Status.ABSENT else medpy.dc(*both)
    if pair.status is not Status.BOTH:
        with pytest.raises(RuntimeError):
            medpy.hd95(*both)
        return {"dice": dice, "hd95_mm": math.nan, "assd_mm": math.nan}
    hd95_mm, assd_mm = medpy.hd95(*both, spacing_mm), medpy.assd(*both, spacing_mm)
    return {"dice": dice, "hd95_mm": hd95_mm, "assd_mm": assd_mm}


def by_deepmind(pair):
    found = deepmind.compute_surface_distances(pair.reference, pair.prediction, pair.spacing_mm)
    return {
        "dice": deepmind.compute_dice_coefficient(pair.reference, pair.prediction),
        "nsd": deepmind.compute_surface_dice_at_tolerance(found, pair.tolerance_mm),
        "hd95_mm": deepmind.compute_robust_hausdorff(found, 95),
    }


def by_transunet(pair):
    """Spelled out as in TransUNet's `calculate_metric_percase`."""
    reference, prediction = pair.reference, pair.prediction
    if prediction.sum() > 0 and reference.sum() > 0:
        dice, hd95_voxels = medpy.dc(prediction, reference), medpy.hd95(prediction, reference)
        return {"dice": dice, "hd95_voxels": hd95_voxels}
    if prediction.sum() > 0 and reference.sum() == 0:
        return {"dice": 1, "hd95_voxels": 0}
    return {"dice": 0, "hd95_voxels": 0}


def by_nnunet(pair):
    """nnU-Net's counts, and its `compute_metrics` spelled out, since that reads files."""
    tp, fp, fn, _ = nnunet.compute_tp_fp_fn_tn(pair.reference, pair.prediction)
    if tp + fp + fn == 0:
        return {"dice": math.nan, "iou": math.nan}
    return {"dice": 2 * tp / (2 * tp + fp + fn), "iou": tp / (tp + fp + fn)}


ORACLES = {
    "deepmind": by_deepmind,
    "medpy": by_medpy,
    "monai": by_monai,
    "nnunet": by_nnunet,
    "transunet": by_transunet,
}


def require_agreement(pair, name):
    expected = ORACLES[name](pair)
    # MONAI computes in single precision, and so rounds where among the distances 95 % are
    tolerance = {"rel": 1e-5, "abs": 1e-5} if name == "monai" else {"rel": 1e-9, "abs": 1e-9}
    value = conventions.load(name).compute(pair)
    assert value == pytest.approx(expected, nan_ok=True, **tolerance)


def require_brute_force(pair):
    """All distances between the voxels that an erosion takes away, from first principles."""
    steps = np.array(pair.spacing_mm)
    first, second = (
        np.argwhere(mask & ~ndimage.binary_erosion(mask)) * steps
        for mask in (pair.reference, pair.prediction)
    )
    apart = cdist(first, second)
    there, back = apart.min(axis=1), apart.min(axis=0)
    pooled = np.concatenate([there, back])
    expected = {
        hd: pooled.max(),
        hd95: max(np.percentile(there, 95), np.percentile(back, 95)),
        assd: pooled.mean(),
        masd: (there.mean() + back.mean()) / 2,
        nsd: (pooled <= pair.tolerance_mm).mean(),
    }
    for metric, value in expected.items():
        assert metric.compute(pair) == pytest.approx(value, abs=1e-9)


each_oracle = pytest.mark.parametrize("name", ORACLES)


@each_oracle
@pytest.mark.parametrize("seed", range(12))
def test_random_masks_score_as_other_programs_say(name, seed):
    require_agreement(random_pair(seed), name)


@each_oracle
@pytest.mark.parametrize("index", range(20))
def test_structured_masks_score_as_other_programs_say(name, index):
    require_agreement(structured_pair(index), name)


@pytest.mark.parametrize("pair_of", [random_pair, structured_pair])
def test_distances_are_those_of_all_pairs_of_surface_voxels(pair_of):
    for number in range(20):
        require_brute_force(pair_of(number))


@pytest.mark.slow
@each_oracle
def test_two_hundred_random_masks_score_as_other_programs_say(name):
    for seed in range(200):
        require_agreement(random_pair(seed), name)


@pytest.mark.slow
def test_two_hundred_random_masks_have_the_distances_of_all_pairs():
    for seed in range(200):
        require_brute_force(random_pair(seed))


@pytest.mark.parametrize("name", sorted(set(ORACLES) - {"deepmind"}))
@pytest.mark.parametrize(("reference", "prediction"), [(1, 0), (0, 1), (0, 0)])
def test_empty_masks_score_as_other_programs_say(name, reference, prediction):
    full = random_pair(1)
    one, other = full.reference & bool(reference), full.prediction & bool(prediction)
    require_agreement(Pair(one, other, full.spacing_mm, tolerance_mm=TOLERANCE_MM), name)
