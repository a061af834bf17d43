"""The picture of a comparison."""

import nibabel  # noqa: F401 - pulls in what matplotlib needs, before warnings become errors
import numpy as np
from matplotlib import image
from matplotlib.axes import Axes

from medseg.evaluation import comparison_plot
from medseg.evaluation.compare import compare
from medseg.evaluation.score_table import Paired


def _comparison(values, regions=("left", "right"), metrics=("dice", "hd95_mm")):
    return compare(
        Paired(
            models=("one", "$two", "three")[: values.shape[-1]],
            cases=tuple(map(str, range(len(values)))),
            regions=regions,
            higher_is_better={metric: metric == "dice" for metric in metrics},
            values=dict.fromkeys(metrics, values),
            filled=0,
            not_compared=(),
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


def test_the_cases_are_the_points(rng, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Axes, "plot", lambda _, x, y, *_more, **_options: drawn.append((x, y)))
    monkeypatch.setattr(Axes, "boxplot", lambda *_, **__: None)
    values = rng.random((7, 1, 2))
    comparison_plot.draw(_comparison(values, ("left",), ("dice",)), tmp_path / "comparison.png")
    ((places, differences),) = drawn
    np.testing.assert_allclose(differences, values[:, 0, 0] - values[:, 0, 1])
    assert np.abs(places).max() < 0.3
    assert len(set(places)) == 7


def test_a_region_that_no_case_holds_stays_empty(tmp_path):
    values = np.array([[[0.5, 0.4], [np.nan, np.nan]], [[0.6, 0.4], [np.nan, np.nan]]])
    comparison_plot.draw(_comparison(values), tmp_path / "comparison.png")
    assert image.imread(tmp_path / "comparison.png").std() > 0.01


def test_many_regions_make_no_picture_that_is_too_large(rng, tmp_path):
    regions = tuple(map(str, range(118)))
    comparison = _comparison(rng.random((3, 118, 2)), regions, ("dice",))
    comparison_plot.draw(comparison, tmp_path / "comparison.png")
    assert max(image.imread(tmp_path / "comparison.png").shape) <= 8_000
