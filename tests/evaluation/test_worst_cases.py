"""The worst cases, with outlines."""

import math
from dataclasses import replace

import nibabel  # noqa: F401 - pulls in what matplotlib needs, before warnings become errors
import numpy as np
import pytest
from matplotlib import image
from matplotlib.axes import Axes

from medseg.errors import DataError
from medseg.evaluation import drawing, worst_cases
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Score, Scores
from medseg.evaluation.worst_cases import Ranked, Shown, slice_of, worst
from medseg.segmentation import Segmentation
from medseg.volume import Grid, Volume

GRID = Grid((12, 10, 4), np.diag([-1.5, 1.5, 8.0, 1.0]))


def score(case, region, dice, status=Status.BOTH):
    return Score(case, region, {"dice": dice}, status)


def test_cases_are_ranked_by_their_mean_dice_and_absent_regions_do_not_count():
    scores = Scores(
        (
            score("a", "left", 0.9),
            score("a", "right", math.nan, Status.ABSENT),
            score("b", "left", 0.8),
            score("b", "right", 0.0, Status.MISSED),
            score("c", "left", 0.5),
            score("d", "left", math.nan, Status.ABSENT),
            score("e", "left", math.nan, Status.FALSE_ALARM),  # as MONAI has it
            score("f", "left", 1.0, Status.FALSE_ALARM),  # as TransUNet has it
        )
    )
    assert worst(scores) == [
        Ranked("e", 0.0, (("left", Status.FALSE_ALARM),)),
        Ranked("f", 0.0, (("left", Status.FALSE_ALARM),)),
        Ranked("b", 0.4, (("right", Status.MISSED),)),
        Ranked("c", 0.5),
        Ranked("a", 0.9),
    ]
    assert [one.case for one in worst(scores, most=1)] == ["e"]


def test_the_slice_is_that_with_the_most_voxels_that_differ():
    reference, prediction = np.zeros((2, 4, 5, 6), dtype=np.uint8)
    reference[:, :, 1] = 1
    prediction[:, :, 1] = 1
    prediction[0, 0, 4] = 2
    assert slice_of(reference, prediction, (1.0, 1.0, 1.0)) == (2, 4)
    assert slice_of(reference, reference, (1.0, 1.0, 1.0)) == (2, 1)


def test_the_slice_may_be_that_with_the_most_of_one_region():
    reference, prediction = np.zeros((2, 4, 5, 6), dtype=np.uint8)
    prediction[:, :, 1] = 1
    region = np.zeros((4, 5, 6), dtype=bool)
    region[0, 0, 3:5] = True
    region[1, 0, 4] = True
    assert slice_of(reference, prediction, (1.0, 1.0, 1.0), region) == (2, 4)
    assert slice_of(reference, prediction, (1.0, 1.0, 1.0), region & False) == (2, 1)


def test_thick_slices_are_shown_as_they_were_taken():
    reference, prediction = np.zeros((2, 4, 5, 6), dtype=np.uint8)
    prediction[3, 0, 0] = 1
    assert slice_of(reference, prediction, (8.0, 1.0, 1.0)) == (0, 3)
    assert slice_of(reference, prediction, (1.2, 1.0, 1.0)) == (2, 0)


@pytest.fixture
def shown(hippocampus_task, rng):
    def case(name="a", *, image=True, one_sided=()):
        known = np.zeros(GRID.shape, dtype=np.uint8)
        known[2:6, 3:7, 2] = 1
        known[7:9, 3:7, 2] = 2
        found = np.roll(known, 1, axis=0)
        scan = Volume(rng.normal(size=(1, *GRID.shape)).astype(np.float32), GRID)
        sides = [Segmentation(side, GRID, hippocampus_task) for side in (known, found)]
        return Shown(Ranked(name, 0.5, one_sided), *sides, scan if image else None)

    return case


def test_both_sides_are_outlined_in_the_region_s_colour(shown, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        Axes, "contour", lambda *_, colors, linestyles, **__: drawn.append((*colors, *linestyles))
    )
    worst_cases.draw([shown()], tmp_path / "worst.png")
    assert drawn == [
        ("#e0a030", "solid"),
        ("#e0a030", "dashed"),
        ("#3080c0", "solid"),
        ("#3080c0", "dashed"),
    ]


@pytest.mark.parametrize("image_given", [True, False])
def test_a_picture_is_drawn_with_and_without_the_scan(shown, tmp_path, image_given):
    cases = [shown(name, image=image_given) for name in "abcdefg"]
    worst_cases.draw(cases, tmp_path / "worst.png")
    assert image.imread(tmp_path / "worst.png").std() > 0.05


def test_the_title_names_what_was_missed(shown, tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(Axes, "set_title", lambda _, text, **_more: titles.append(text))
    case = shown("$a")
    missed = tuple((f"part_{number}", Status.MISSED) for number in range(5))
    monkeypatch.setattr(worst_cases, "_largest_one_sided", lambda *_: None)
    worst_cases.draw([replace(case, ranked=Ranked("$a", 0.5, missed))], tmp_path / "worst.png")
    assert titles == ["\\$a\nDice 0.500, k = 2\npart_0 missed\npart_1 missed\nand 3 more"]


@pytest.fixture
def panels(monkeypatch):
    """The panels that were drawn, in place of the file."""
    kept = []
    monkeypatch.setattr(drawing, "write", lambda figure, _: kept.extend(figure.axes))
    return kept


def one_voxel(task, affine, shape, *place):
    """A case whose prediction is empty and whose reference is one voxel of the anterior part."""
    grid = Grid(shape, affine)
    reference, prediction = np.zeros((2, *shape), dtype=np.uint8)
    reference[place] = 1
    sides = [Segmentation(side, grid, task) for side in (reference, prediction)]
    return Shown(Ranked("a", 0.0, (("anterior", Status.MISSED),)), *sides)


LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # as DICOM stores: i to the left, j to the back
SAGITTAL = np.array([[0, 0, 4.0, 0], [1, 0, 0, 0], [0, -1, 0, 9], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    ("affine", "index", "sides"),
    [
        (np.eye(4), "k = 3", "RLPA"),
        (LPS, "k = 3", "RLPA"),
        (np.diag([1.0, 1.0, -1.0, 1.0]), "k = 3", "RLPA"),  # the first slice is at the top
        (SAGITTAL, "k = 3", "APIS"),  # thick slices, the first on the left
        (np.diag([1.0, 4.0, 1.0, 1.0]), "j = 2", "RLIS"),
    ],
)
def test_slices_are_named_as_in_the_file_and_sides_by_letters(
    affine, index, sides, panels, hippocampus_task, tmp_path
):
    case = one_voxel(hippocampus_task, affine, (6, 5, 4), 1, 2, 3)
    worst_cases.draw([case], tmp_path / "worst.png")
    assert panels[0].get_title() == f"a\nDice 0.000, {index}\nanterior missed"
    # left, right, bottom, top
    assert [text.get_text() for text in panels[0].texts] == list(sides)


@pytest.mark.parametrize("affine", [np.eye(4), LPS])
def test_the_patient_s_right_is_on_the_left_and_front_at_the_top(
    affine, panels, hippocampus_task, tmp_path, monkeypatch
):
    outlined = []
    monkeypatch.setattr(
        Axes, "contour", lambda _, x, y, mask, **__: outlined.append((x, y, np.asarray(mask)))
    )
    case = one_voxel(hippocampus_task, affine, (6, 5, 4), 1, 1, 3)  # of 6 and 5: at the low end
    worst_cases.draw([case], tmp_path / "worst.png")
    x, y, mask = outlined[0]
    row, column = np.argwhere(mask)[0]
    # without turning the low end of i is the patient's left, of j the back; LPS is the reverse
    assert (x[column], y[row]) == ((1, 1) if affine is not LPS else (4, 3))
    left, right = panels[0].get_xlim()
    assert left > right  # so that a high x, the patient's right, comes to the left
    assert panels[0].get_ylim()[0] < panels[0].get_ylim()[1]


def test_of_what_was_missed_the_slice_with_most_is_shown(panels, hippocampus_task, tmp_path):
    grid = Grid((9, 9, 9), np.eye(4))
    reference, prediction = np.zeros((2, 9, 9, 9), dtype=np.uint8)
    reference[:, :, 1] = 1  # 81 voxels against 36: here the two differ most
    prediction[:6, :6, 1] = 1
    reference[1:3, 1, 7] = 2  # but the posterior part is missed
    sides = [Segmentation(side, grid, hippocampus_task) for side in (reference, prediction)]
    ranked = Ranked("a", 0.3, (("posterior", Status.MISSED),))
    worst_cases.draw([Shown(ranked, *sides)], tmp_path / "worst.png")
    assert panels[0].get_title().splitlines()[1] == "Dice 0.300, k = 7"


def test_the_outline_follows_axes_that_point_right_and_forward(shown, tmp_path, monkeypatch):
    filled = []
    monkeypatch.setattr(
        Axes, "contourf", lambda _, _x, _y, mask, **__: filled.append(np.asarray(mask))
    )
    worst_cases.draw([shown(image=False)], tmp_path / "worst.png")
    # i points left in the file, 2 to 5 of 12; to the right these are 6 to 9, and 1 more for the rim
    columns = np.flatnonzero(filled[0].any(axis=0))
    assert columns.tolist() == [7, 8, 9, 10]


def test_empty_and_single_slices_are_drawn(hippocampus_task, tmp_path):
    grid = Grid((1, 6, 5), np.eye(4))
    empty = np.zeros(grid.shape, dtype=np.uint8)
    full = empty.copy()
    full[0, 2:4, 2] = 1
    sides = [Segmentation(side, grid, hippocampus_task) for side in (empty, full)]
    nothing = [Segmentation(empty, grid, hippocampus_task)] * 2
    worst_cases.draw(
        [Shown(Ranked("a", 0.0), *sides), Shown(Ranked("b", 0.0), *nothing)],
        tmp_path / "worst.png",
    )
    worst_cases.draw([], tmp_path / "none.png")
    assert (tmp_path / "none.png").is_file()


def test_a_scan_on_another_grid_is_refused(tmp_path):
    scan = Volume(np.zeros((1, 3, 3, 3), dtype=np.float32), Grid((3, 3, 3), np.eye(4)))
    with pytest.raises(DataError, match=r"scan\.nii: lies on another grid"):
        worst_cases.require_same_grid(scan, GRID, tmp_path / "scan.nii")
