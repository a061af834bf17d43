"""Measurements by hand, and a small survey."""

import pytest

from medseg.data import folds, layouts
from medseg.data.description import LabelDescription
from medseg.survey.measure import Intensities, Measured
from medseg.survey.survey import look
from tests.fake_data import FORMS


def _intensities(contrast=0.0, percentiles=(0.0, 1.0, 2.0), skewness=0.0):
    return Intensities(percentiles[0], percentiles[2], percentiles, skewness, contrast)


@pytest.fixture(scope="session")
def intensities():
    """Statistics of a channel; any can be given."""
    return _intensities


@pytest.fixture(scope="session")
def made():
    """A measurement of a case that is in order; any field can be given, and volumes of labels."""

    def make(name, *, volumes_ml=None, **fields):
        labels = {
            label: LabelDescription(volume_ml, 0, (), {})
            for label, volume_ml in (volumes_ml or {}).items()
        }
        usual = {
            "shape": (10, 10, 10),
            "spacing_mm": (1.0, 1.0, 1.0),
            "orientation": "RAS",
            "digest": name,
            "labels": labels,
        }
        return Measured(name, **{**usual, **fields})

    return make


@pytest.fixture
def survey_of(tmp_path, monkeypatch):
    """Makes a fake data set, damages it if asked to, and looks at it."""
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))

    def done(form, damage=lambda _: None):
        FORMS[form](tmp_path / form)
        damage(tmp_path / form)
        matched = layouts.find(tmp_path / form)
        cases = layouts.require_labelled(matched.data_set)
        parts = folds.choose(cases, matched.data_set.splits)
        return look(matched, parts, on_case=lambda _: None)

    return done
