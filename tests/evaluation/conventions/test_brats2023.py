import numpy as np
import pytest
from scipy import ndimage
from surface_distance import metrics as surface_distance

from medseg import formats
from medseg.evaluation.conventions import brats2023, brats2023_men, brats2023_met
from medseg.evaluation.pair import Pair


def cubes(*starts):
    """Cubes of 4 voxels, 64 mm3 each."""
    mask = np.zeros((40, 10, 10), dtype=bool)
    for start in starts:
        mask[start : start + 4, 2:6, 2:6] = True
    return mask


def scores(reference, prediction):
    return brats2023.compute(Pair(reference, prediction, (1.0, 1.0, 1.0)))


WORST = {
    "dice": 0.0,
    "hd95_mm": 374.0,
    "detection_f1": 0.0,
    "dice_legacy": 0.0,
    "hd95_legacy_mm": 374.0,
}
BEST = {
    "dice": 1.0,
    "hd95_mm": 0.0,
    "detection_f1": 1.0,
    "dice_legacy": 1.0,
    "hd95_legacy_mm": 0.0,
}


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        (cubes(1), cubes(), WORST),
        (cubes(), cubes(1), WORST),
        (cubes(), cubes(), BEST),
    ],
)
def test_empty_masks_count_as_documented(reference, prediction, expected):
    assert scores(reference, prediction) == pytest.approx(expected, nan_ok=True)


def test_the_legacy_columns_compare_the_whole_region_at_once():
    # two cubes of 64 voxels, the second is missed: Dice 2 * 64 / 192. Elements lie on the corners
    # of voxels: the found cube's at 2 to 6, the missed cube's, half of the area, at 20 to 24. The
    # last plane, 18 mm away, is a sixth of that cube's surface, hence more than 5 % of the whole
    values = scores(cubes(2, 20), cubes(2))
    assert values["dice_legacy"] == pytest.approx(2 / 3)
    assert values["hd95_legacy_mm"] == 18.0
    assert values["dice"] == 0.5


@pytest.mark.filterwarnings("ignore:Please import .*scipy.ndimage:DeprecationWarning")
def test_the_legacy_columns_are_surface_distance_s(rng):
    for _ in range(5):
        reference, prediction = ndimage.gaussian_filter(rng.normal(size=(2, 20, 18, 9)), 1.5) > 0.03
        values = brats2023.compute(Pair(reference, prediction, (1.0, 1.0, 3.0)))
        distances = surface_distance.compute_surface_distances(
            reference, prediction, (1.0, 1.0, 3.0)
        )
        expected = surface_distance.compute_robust_hausdorff(distances, 95)
        assert values["hd95_legacy_mm"] == pytest.approx(expected)
        overlap = surface_distance.compute_dice_coefficient(reference, prediction)
        assert values["dice_legacy"] == pytest.approx(overlap)


def test_a_lesion_found_and_one_missed_share_the_score():
    # the first is moved by one voxel: Dice 48 * 2 / 128, HD95 1 mm; the second costs 0 and 374
    values = scores(cubes(2, 20), cubes(3))
    assert values["dice"] == pytest.approx(0.75 / 2)
    assert values["hd95_mm"] == pytest.approx((1 + 374) / 2)
    assert values["detection_f1"] == pytest.approx(2 / 3)


def test_a_false_alarm_costs_as_much_as_a_miss():
    values = scores(cubes(3), cubes(2, 20))
    assert values["dice"] == pytest.approx(0.75 / 2)
    assert values["hd95_mm"] == pytest.approx((1 + 374) / 2)


def test_a_small_lesion_alone_is_as_none():
    small = cubes()
    small[2:5, 2:6, 2:6] = True  # 48 mm3
    assert scores(small, cubes()) == {**BEST, "dice_legacy": 0.0, "hd95_legacy_mm": 374.0}


def by_the_published_rules(reference, prediction, spacing_mm, dilation=3, dropped_mm3=50.0):
    """The published rules spelled out independently: SciPy's components on the whole image.

    It is not the challenge's script, which needs pandas below 2 and a surface-distance of its own.
    """
    edges, corners = (ndimage.generate_binary_structure(3, rank) for rank in (2, 3))

    def parts_of(mask):
        return ndimage.label(mask, corners)[0]

    def dilate(mask):
        return ndimage.binary_dilation(mask, edges, iterations=dilation)

    parts, merged = parts_of(prediction), parts_of(dilate(reference))
    lesions = np.where(reference, merged, 0)
    scores, touched = [], set()
    for number in range(1, lesions.max() + 1):
        lesion = lesions == number
        near = np.unique(np.where(dilate(lesion), parts, 0))
        near = near[near > 0]
        touched |= set(near.tolist())
        if lesion.sum() * np.prod(spacing_mm) <= dropped_mm3:
            continue
        found = np.isin(parts, near)
        if not found.any():
            scores.append((0.0, 374.0))
            continue
        distances = surface_distance.compute_surface_distances(lesion, found, spacing_mm)
        scores.append(
            (
                2 * (lesion & found).sum() / (lesion.sum() + found.sum()),
                surface_distance.compute_robust_hausdorff(distances, 95),
            )
        )
    scores += [(0.0, 374.0)] * (parts.max() - len(touched))
    return np.mean(scores, axis=0) if scores else (1.0, 0.0)


VARIANTS = {brats2023: (3, 50.0), brats2023_men: (1, 50.0), brats2023_met: (1, 2.0)}


# surface-distance 0.1 imports from namespaces that SciPy has deprecated.
@pytest.mark.filterwarnings("ignore:Please import .*scipy.ndimage:DeprecationWarning")
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.__name__)
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.4, 1.4, 10.0)])
@pytest.mark.parametrize("share", [0.002, 0.01, 0.05])
def test_it_agrees_with_an_independent_spelling_out_of_the_rules_on_blobs_of_noise(
    rng, spacing_mm, share, variant
):
    for _ in range(5):
        noise = ndimage.gaussian_filter(rng.normal(size=(2, 30, 28, 20)), [0, 1.5, 1.5, 1.5])
        noise[1] += 0.7 * noise[0]
        level = np.quantile(noise, 1 - share, axis=(1, 2, 3), keepdims=True)
        reference, prediction = noise > level
        values = variant.compute(Pair(reference, prediction, spacing_mm))
        expected = by_the_published_rules(reference, prediction, spacing_mm, *VARIANTS[variant])
        assert (values["dice"], values["hd95_mm"]) == pytest.approx(tuple(expected), rel=1e-9)


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:Please import .*scipy.ndimage:DeprecationWarning")
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.__name__)
@pytest.mark.parametrize("patient", ["patient07", "patient19", "patient26"])
def test_it_agrees_with_an_independent_spelling_out_of_the_rules_on_real_lesions(
    patient, variant, real_data
):
    volume = formats.read(real_data / "ms_lesions" / patient / "lesions.nii.gz")
    lesions = volume.voxels[0] > 0
    (box,) = ndimage.find_objects(lesions.astype(np.uint8))
    reference = np.pad(lesions[box], 8)
    prediction = np.roll(reference, (2, 1, 0), axis=(0, 1, 2))
    prediction[: len(prediction) // 3] = False  # some are missed
    prediction[-2:, -2:, -2:] = True  # and one is made up
    values = variant.compute(Pair(reference, prediction, volume.spacing_mm))
    expected = by_the_published_rules(reference, prediction, volume.spacing_mm, *VARIANTS[variant])
    assert 0 < values["dice"] < 1
    assert (values["dice"], values["hd95_mm"]) == pytest.approx(tuple(expected), rel=1e-9)
