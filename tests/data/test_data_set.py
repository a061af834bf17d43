"""What a data set says of itself."""

from pathlib import Path

import pytest

from medseg.data.cases import Case
from medseg.data.data_set import DataSet, plain, sequence


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Right Kidney", "right_kidney"),
        ("non-enhancing tumor", "non_enhancing_tumor"),
        ("  T1Gd ", "t1gd"),
        ("3", "label_3"),
        ("L1/L2", "l1_l2"),
        ("?", "label"),
    ],
)
def test_names_are_written_as_tasks_write_them(written, name):
    assert plain(written) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [("T1w", "t1n"), ("t1gd", "T1CE"), ("t1c", "T1post"), ("t2f", "FLAIR"), ("T2w", "t2")],
)
def test_a_sequence_is_known_by_each_of_its_names(one, other):
    assert sequence(one) == sequence(other)


def test_different_sequences_stay_apart():
    assert len({sequence(name) for name in ("t1", "t1ce", "t2", "flair", "ct")}) == 5


def test_the_first_numbering_holds_unless_another_is_named():
    cases = (Case("a", (Path("a"),)), Case("b", (Path("b"),), Path("l")))
    numberings = {"one": {1: "liver"}, "two": {2: "liver"}}
    known = DataSet("folder", "", Path(), cases, ("ct",), numberings)
    assert known.labels == {1: "liver"}
    assert known.labelled == cases[1:]
    other = DataSet("folder", "", Path(), cases, ("ct",), numberings, numbering="two")
    assert other.labels == {2: "liver"}
    assert DataSet("folder", "", Path(), cases, ("ct",)).labels == {}
