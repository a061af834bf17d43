"""Box plots and Bland-Altman plots."""

import math

import nibabel  # noqa: F401 - pulls in what matplotlib needs, before warnings become errors
import numpy as np
import pytest
from matplotlib import image

from medseg.evaluation import drawing, score_plots
from medseg.evaluation.clinical_numbers import ClinicalNumbers, Measured
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Score, Scores

NAN = math.nan


@pytest.fixture
def panels(monkeypatch):
    """The panels that were drawn, in place of the file."""
    kept = []
    monkeypatch.setattr(drawing, "write", lambda figure, _: kept.extend(figure.axes))
    return kept


def cohort(*values, regions=("left",), status=Status.BOTH):
    return Scores(
        tuple(
            Score(str(case), region, {"dice": value, "hd95_mm": 10 * value}, status)
            for case, value in enumerate(values)
            for region in regions
        )
    )


def points(panel, marker):
    """Where a panel's points lie; lines have no marker."""
    return [line.get_xydata().tolist() for line in panel.get_lines() if line.get_marker() == marker]


def test_there_is_a_panel_for_each_metric_and_a_point_for_each_case(panels, tmp_path):
    score_plots.draw_boxes(cohort(0.5, 0.75), ["dice", "hd95_mm"], tmp_path / "boxes.png")
    assert [panel.get_ylabel() for panel in panels] == ["dice", "hd95_mm"]
    (drawn,) = points(panels[1], ".")
    assert [height for _, height in drawn] == [5.0, 7.5]


def test_what_was_missed_stands_below_its_box(panels, tmp_path):
    scores = cohort(0.0, 0.0, regions=("left", "right"), status=Status.MISSED)
    score_plots.draw_boxes(scores, ["dice"], tmp_path / "boxes.png")
    names = [text.get_text() for text in panels[0].get_xticklabels()]
    assert names == ["left\n2 missed", "right\n2 missed"]


def test_a_region_that_is_absent_and_one_that_is_infinite_stay_empty(tmp_path):
    scores = Scores(
        (
            Score("a", "left", {"dice": NAN}, Status.ABSENT),
            Score("a", "right", {"dice": math.inf}, Status.MISSED),
        )
    )
    score_plots.draw_boxes(scores, ["dice"], tmp_path / "boxes.png")
    assert image.imread(tmp_path / "boxes.png").std() > 0.01


def test_a_hundred_and_eighteen_regions_make_no_picture_that_is_too_large(tmp_path):
    scores = cohort(0.5, 0.25, regions=tuple(f"part_{number}" for number in range(118)))
    score_plots.draw_boxes(scores, ["dice"], tmp_path / "boxes.png")
    assert max(image.imread(tmp_path / "boxes.png").shape) <= 8000


def numbers(*pairs, quantity="volume"):
    return tuple(
        Measured(str(subject), quantity, "mL", *pair) for subject, pair in enumerate(pairs)
    )


def test_errors_stand_over_the_mean_of_both(panels, tmp_path):
    rows = numbers((100.0, 90.0), (50.0, 60.0), (NAN, 3.0))
    score_plots.draw_bland_altman(ClinicalNumbers(rows), tmp_path / "ba.png")
    assert panels[0].get_title() == "volume"
    assert points(panels[0], ".") == [[[95.0, -10.0], [55.0, 10.0]]]
    heights = sorted(
        line.get_ydata()[0] for line in panels[0].get_lines() if line.get_linestyle() != "None"
    )
    limit = 1.96 * math.sqrt(200)  # the standard deviation of -10 and 10
    assert heights == pytest.approx([-limit, 0, 0, limit])


def test_what_was_missed_or_made_up_is_marked(panels, tmp_path):
    rows = numbers((100.0, 0.0), (0.0, 0.0), (0.0, 4.0), (10.0, 10.0))
    score_plots.draw_bland_altman(ClinicalNumbers(rows), tmp_path / "ba.png")
    assert points(panels[0], "x") == [[[50.0, -100.0], [2.0, 4.0]]]


def test_one_subject_and_none_are_drawn_without_limits(tmp_path):
    for rows in (numbers((5.0, 4.0)), numbers((NAN, NAN)), ()):
        score_plots.draw_bland_altman(ClinicalNumbers(rows), tmp_path / "ba.png")
        assert (tmp_path / "ba.png").is_file()


def test_of_many_quantities_the_worst_are_drawn(panels, tmp_path):
    rows = [
        row
        for number in range(118)
        for row in numbers((100.0, 100.0 + number), quantity=f"part {number}")
    ]
    score_plots.draw_bland_altman(ClinicalNumbers(tuple(rows)), tmp_path / "ba.png")
    assert [panel.get_title() for panel in panels] == [f"part {n}" for n in range(117, 93, -1)]


def test_the_pictures_are_files(tmp_path):
    score_plots.draw_boxes(cohort(0.5, 0.75), ["dice"], tmp_path / "boxes.png")
    score_plots.draw_bland_altman(ClinicalNumbers(numbers((5.0, 4.0))), tmp_path / "ba.png")
    assert np.ptp(image.imread(tmp_path / "ba.png")) > 0.5
