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


def test_an_empty_mask_squeezes_no_box_and_is_a_cross_at_the_edge(panels, tmp_path):
    scores = Scores(
        (
            Score("a", "left", {"hd95_mm": 1.0}, Status.BOTH),
            Score("b", "left", {"hd95_mm": 3.0}, Status.BOTH),
            Score("c", "left", {"hd95_mm": 374.0}, Status.MISSED),
            Score("d", "left", {"hd95_mm": math.inf}, Status.FALSE_ALARM),
            Score("e", "left", {"hd95_mm": 0.0}, Status.ABSENT),
        )
    )
    score_plots.draw_boxes(scores, ["hd95_mm"], tmp_path / "boxes.png")
    assert panels[0].get_ylim() == pytest.approx((0.9, 3.1))  # 5 % of 2 mm on either side
    heights = {mark: [y for _, y in points(panels[0], mark)[0]] for mark in ".x+"}
    assert heights == {".": [1.0, 3.0], "x": [pytest.approx(3.1)], "+": [pytest.approx(3.1)]}
    (legend,) = panels[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["missed", "false alarm"]


def test_of_many_regions_those_with_the_lowest_means_are_drawn(panels, tmp_path):
    rows = [
        Score("a", f"part_{n}", {"dice": 1 - n / 200, "hd95_mm": 1.0}, Status.BOTH)
        for n in range(118)
    ]
    score_plots.draw_boxes(Scores(tuple(rows)), ["dice", "hd95_mm"], tmp_path / "boxes.png")
    for panel in panels:
        names = [text.get_text() for text in panel.get_xticklabels()]
        assert names == [f"part_{number}" for number in range(88, 118)]
    assert panels[0].get_title() == (
        "1 cases, medseg convention\n30 of 118 regions: the lowest means of dice"
    )


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
    assert panels[0].figure.get_suptitle() == (
        "24 of 118 quantities: those with the largest error in %"
    )


def test_a_quantity_that_is_false_alarms_alone_is_drawn_first(panels, tmp_path):
    rows = [
        row
        for number in range(30)
        for row in numbers((100.0, 100.0 + number), quantity=f"part {number}")
    ]
    rows += [*numbers((0.0, 1.0), quantity="made up"), *numbers((0.0, 0.0), quantity="absent")]
    score_plots.draw_bland_altman(ClinicalNumbers(tuple(rows)), tmp_path / "ba.png")
    titles = [panel.get_title() for panel in panels]
    assert titles[:2] == ["made up", "part 29"]
    assert "absent" not in titles


def test_the_pictures_are_files(tmp_path):
    score_plots.draw_boxes(cohort(0.5, 0.75), ["dice"], tmp_path / "boxes.png")
    score_plots.draw_bland_altman(ClinicalNumbers(numbers((5.0, 4.0))), tmp_path / "ba.png")
    assert np.ptp(image.imread(tmp_path / "ba.png")) > 0.5
