"""What the pictures share."""

import nibabel  # noqa: F401 - pulls in what matplotlib needs, before warnings become errors
import numpy as np
import pytest
from matplotlib import image

from medseg.errors import OutputError
from medseg.evaluation import drawing


def test_a_figure_is_written_as_png(tmp_path):
    figure = drawing.canvas(3, 2)
    figure.add_subplot().plot([0, 1], [1, 0])
    drawing.write(figure, tmp_path / "new/one.png")
    assert image.imread(tmp_path / "new/one.png").shape[:2] == (240, 360)


def test_a_large_figure_is_written_with_fewer_dots(tmp_path):
    drawing.write(drawing.canvas(200, 2), tmp_path / "one.png")
    assert image.imread(tmp_path / "one.png").shape[1] == 8000


def test_a_picture_that_cannot_be_written_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="A file stands where a folder is needed"):
        drawing.write(drawing.canvas(1, 1), tmp_path / "file/one.png")


def test_a_box_has_a_point_for_each_finite_case():
    panel = drawing.canvas(3, 2).add_subplot()
    drawing.box(panel, 4, np.array([0.5, np.nan, 0.7, np.inf, 0.1]))
    (points,) = [line for line in panel.get_lines() if line.get_marker() == "."]
    assert points.get_ydata().tolist() == [0.5, 0.7, 0.1]
    assert np.abs(points.get_xdata() - 4).max() < 0.3


def test_of_nothing_there_is_no_box():
    panel = drawing.canvas(3, 2).add_subplot()
    drawing.box(panel, 0, np.array([np.nan]))
    assert panel.get_lines()[:] == []


def test_places_are_named_and_dollars_begin_no_formula():
    panel = drawing.canvas(3, 2).add_subplot()
    drawing.name_places(panel, ["left", "$right"])
    assert [text.get_text() for text in panel.get_xticklabels()] == ["left", "\\$right"]


def test_an_axis_shows_the_finite_values_and_a_twentieth_more():
    assert drawing.limits_of(np.array([1.0, 3.0, np.inf, np.nan])) == pytest.approx((0.9, 3.1))
    assert drawing.limits_of(np.array([2.0])) == pytest.approx((1.9, 2.1))
    assert drawing.limits_of(np.array([0.0])) == pytest.approx((-0.05, 0.05))
    assert drawing.limits_of(np.array([np.nan])) == (0.0, 1.0)


def test_crosses_beyond_the_axis_stand_at_its_edge():
    panel = drawing.canvas(3, 2).add_subplot()
    mark = drawing.Mark("x", "tab:red", "missed")
    drawing.crosses(panel, 2, np.array([-5.0, 0.5, np.nan, np.inf]), (0.0, 1.0), mark)
    (line,) = panel.get_lines()
    assert line.get_ydata().tolist() == [0.0, 0.5, 1.0]


def test_marks_are_explained_and_nothing_is_not():
    figure = drawing.canvas(3, 2)
    drawing.explain(figure, [])
    assert figure.legends == []
    drawing.explain(figure, [drawing.Mark("x", "tab:red", "missed")])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["missed"]
