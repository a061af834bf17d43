"""The picture of a comparison."""

import nibabel  # noqa: F401 - pulls in what matplotlib needs, before warnings become errors
import numpy as np
import pytest
from matplotlib import image
from matplotlib.axes import Axes

from medseg.evaluation import comparison_plot, drawing
from medseg.evaluation.compare import compare
from medseg.evaluation.score_table import Paired


@pytest.fixture
def panels(monkeypatch):
    """The panels that were drawn, in place of the file."""
    kept = []
    monkeypatch.setattr(drawing, "write", lambda figure, _: kept.extend(figure.axes))
    return kept


def _comparison(values, regions=("left", "right"), metrics=("dice", "hd95_mm"), one_sided=None):
    return compare(
        Paired(
            models=("one", "$two", "three", "four", "five")[: values.shape[-1]],
            cases=tuple(map(str, range(len(values)))),
            regions=regions,
            higher_is_better={metric: metric == "dice" for metric in metrics},
            values=dict.fromkeys(metrics, values),
            filled=0,
            not_compared=(),
            one_sided=one_sided,
        ),
        draws=10,
    )


def test_a_picture_is_drawn_with_a_panel_for_each_metric_and_pair(rng, tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(Axes, "set_title", lambda _, text, **_more: titles.append(text))
    comparison_plot.draw(_comparison(rng.random((9, 2, 3))), tmp_path / "new/comparison.png")
    pixels = image.imread(tmp_path / "new/comparison.png")
    assert pixels.shape[1] > pixels.shape[0] > 300
    assert pixels.std() > 0.01
    assert len(titles) == 2 * 3
    assert titles[0] == "one minus \\$two\nabove 0: one is better"
    assert titles[3] == "one minus \\$two\nabove 0: \\$two is better"


def points(panel, marker):
    (line,) = [line for line in panel.get_lines() if line.get_marker() == marker]
    return line.get_xdata(), line.get_ydata()


def test_the_cases_are_the_points(rng, tmp_path, panels):
    values = rng.random((7, 1, 2))
    comparison_plot.draw(_comparison(values, ("left",), ("dice",)), tmp_path / "comparison.png")
    places, differences = points(panels[0], ".")
    np.testing.assert_allclose(differences, values[:, 0, 0] - values[:, 0, 1])
    assert np.abs(places).max() < 0.3
    assert len(set(places)) == 7


def test_what_one_model_missed_is_a_cross_at_the_edge_and_squeezes_no_box(tmp_path, panels):
    values = np.array([[[1.0, 2.0]], [[2.0, 1.0]], [[3.0, 374.0]]])
    one_sided = np.zeros((3, 1, 2), dtype=bool)
    one_sided[2, 0, 1] = True
    comparison = _comparison(values, ("left",), ("hd95_mm",), one_sided)
    comparison_plot.draw(comparison, tmp_path / "comparison.png")
    assert points(panels[0], ".")[1].tolist() == [-1.0, 1.0]
    # from -1 to 1, and 5 % of that on either side
    assert panels[0].get_ylim() == pytest.approx((-1.1, 1.1))
    assert points(panels[0], "x")[1].tolist() == pytest.approx([-1.1])
    (legend,) = panels[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "missed or made up by one of the two models or both"
    ]


def test_of_many_regions_and_models_those_that_differ_most_are_drawn(tmp_path, panels):
    regions = tuple(f"part_{number}" for number in range(20))
    steps = np.arange(20)[None, :, None] * np.arange(5)[None, None, :]
    values = np.repeat(steps, 3, axis=0).astype(np.float64)
    comparison_plot.draw(_comparison(values, regions, ("hd95_mm",)), tmp_path / "comparison.png")
    assert len(panels) == 6
    names = [text.get_text() for text in panels[0].get_xticklabels()]
    assert names == [*(f"part_{number}" for number in range(8, 20)), "all regions"]
    title = panels[0].figure.get_suptitle()
    assert title == "6 of 10 pairs of models, 12 of 20 regions; comparison.md has all"


def test_a_region_that_no_case_holds_stays_empty(tmp_path):
    values = np.array([[[0.5, 0.4], [np.nan, np.nan]], [[0.6, 0.4], [np.nan, np.nan]]])
    comparison_plot.draw(_comparison(values), tmp_path / "comparison.png")
    assert image.imread(tmp_path / "comparison.png").std() > 0.01


def test_many_regions_make_no_picture_that_is_too_large(rng, tmp_path):
    regions = tuple(map(str, range(118)))
    comparison = _comparison(rng.random((3, 118, 2)), regions, ("dice",))
    comparison_plot.draw(comparison, tmp_path / "comparison.png")
    high, wide, _ = image.imread(tmp_path / "comparison.png").shape
    assert (high, wide) == (384, 1704)  # 3.2 and 2.5 + 13 x 0.9 inches of 120 dots
