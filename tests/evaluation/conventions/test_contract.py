"""What every convention promises."""

import ast
from pathlib import Path

import numpy as np
import pytest

from medseg.evaluation import conventions
from medseg.evaluation.pair import Pair

SPACING_MM = (1.4, 0.7, 10.0)
EMPTY = np.zeros((6, 7, 5), dtype=bool)

each_convention = pytest.mark.parametrize(
    "convention", [conventions.load(name) for name in conventions.names()]
)


def all_pairs(rng):
    """Both masks filled, either empty, both empty."""
    one, other = rng.random((2, 6, 7, 5)) < 0.3
    masks = [(one, other), (one, EMPTY), (EMPTY, other), (EMPTY, EMPTY)]
    return [Pair(reference, prediction, SPACING_MM) for reference, prediction in masks]


def test_there_are_those_of_the_programs_people_publish_with():
    assert conventions.names() == [
        "brats2020",
        "brats2023",
        "brats2023_men",
        "brats2023_met",
        "deepmind",
        "medpy",
        "medseg",
        "monai",
        "nnunet",
        "transunet",
    ]


@each_convention
def test_it_has_the_form_of_a_convention(convention):
    assert isinstance(convention, conventions.Convention)
    assert convention.SOURCE


@each_convention
def test_it_says_how_it_takes_the_percentile_and_what_empty_masks_count(convention):
    text = ast.get_docstring(ast.parse(Path(convention.__file__).read_text()))
    assert "Percentile:" in text
    assert "Empty masks" in text


@each_convention
def test_its_columns_are_the_same_for_empty_masks(convention, rng):
    columns = [list(convention.compute(pair)) for pair in all_pairs(rng)]
    assert columns == [columns[0]] * 4
    assert "dice" in columns[0]


@each_convention
def test_a_perfect_prediction_has_dice_one_and_no_distance(convention, rng):
    mask = rng.random((6, 7, 5)) < 0.3
    values = convention.compute(Pair(mask, mask, SPACING_MM))
    assert values["dice"] == 1.0
    assert all(value == 0 for column, value in values.items() if column.startswith("hd95"))


def test_an_unknown_convention_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"no 'brats'; choose from \['brats2020'"):
        conventions.load("brats")
