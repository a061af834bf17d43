from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.model_selection import KFold

from medseg.data.cases import Case
from medseg.data.data_set import Part
from medseg.data.folds import FOLDS, choose, count, split
from medseg.errors import DataError, UsageError


def made(count, patient=lambda _: None):
    return [Case(f"case_{n:03d}", (Path(f"{n}"),), patient=patient(n)) for n in range(count)]


@pytest.mark.parametrize("count", [5, 6, 23, 208])
@pytest.mark.parametrize("fold", range(FOLDS))
def test_the_folds_are_those_of_scikit_learn_on_the_sorted_names(count, fold):
    cases = made(count)
    folds = KFold(5, shuffle=True, random_state=12345).split(cases)
    training, held_out = list(folds)[fold]
    found = split(cases, fold)
    assert found.training == tuple(cases[n] for n in training)
    assert found.held_out == tuple(cases[n] for n in held_out)


def test_the_order_of_the_cases_does_not_matter():
    cases = made(11)
    assert set(split(cases[::-1], 2).held_out) == set(split(cases, 2).held_out)


def test_every_case_is_held_out_once():
    cases = made(17)
    held_out = [case for fold in range(FOLDS) for case in split(cases, fold).held_out]
    assert sorted(case.name for case in held_out) == [case.name for case in cases]


def test_the_cases_of_a_patient_are_never_split():
    cases = made(30, patient=lambda n: f"patient_{n % 7}")
    for fold in range(FOLDS):
        found = split(cases, fold)
        assert len(found.training) + len(found.held_out) == 30
        apart = [{case.patient for case in part} for part in (found.training, found.held_out)]
        assert not apart[0] & apart[1]


def test_cases_without_a_patient_are_patients_of_their_own():
    cases = made(6)
    named = [replace(case, patient=case.name) for case in cases]
    names = [case.name for case in split(cases, 1).held_out]
    assert names == [case.name for case in split(named, 1).held_out]


@pytest.mark.parametrize("fold", [-1, 5])
def test_a_fold_that_does_not_exist_is_refused(fold):
    with pytest.raises(UsageError, match=f"no fold {fold}. Choose 0 to 4"):
        split(made(10), fold)


def test_with_fewer_than_five_patients_each_is_held_out_in_turn():
    cases = made(8, patient=lambda n: str(n // 2))
    held_out = [split(cases, fold).held_out for fold in range(4)]
    assert sorted(case.name for part in held_out for case in part) == [c.name for c in cases]
    with pytest.raises(UsageError, match=r"no fold 4. Choose 0 to 3"):
        split(cases, 4)


def test_a_single_patient_cannot_be_split():
    with pytest.raises(UsageError, match="a single patient cannot be split"):
        split(made(8, patient=lambda _: "one"), 0)


@pytest.fixture
def published():
    """Patients 0 to 7 to train with, 8 and 9 held out; and the same with 7 to watch with."""
    training, test = tuple(map(str, range(8))), ("8", "9")
    return {
        "8-2": (Part(training, test),),
        "7-1-2": (Part(training[:7], test, validation=("7",)),),
        "turns": (Part(training, test, watch_held_out=True), Part(test, training)),
    }


def patients(cases):
    return {case.patient for case in cases}


@pytest.fixture
def two_each():
    """Two cases of each of eleven patients."""
    return made(22, patient=lambda n: str(n // 2))


def test_the_usual_published_split_is_taken_and_watched_with_training_cases(two_each, published):
    found = choose(two_each, published)
    assert found.name == "8-2"
    assert patients(found.held_out) == {"8", "9"}
    assert len(patients(found.validation)) == 1
    assert patients(found.training) | patients(found.watched) == set(map(str, range(8)))
    assert not patients(found.training) & patients(found.watched)
    assert "10" not in patients(found.cases)  # it is in no part
    assert choose(two_each, published) == found


def test_a_published_split_is_taken_by_its_name(two_each, published):
    assert patients(choose(two_each, published, name="7-1-2").validation) == {"7"}
    turned = choose(two_each, published, name="turns")
    assert turned.validation == turned.held_out
    assert patients(choose(two_each, published, name="turns", fold=1).training) <= {"8", "9"}
    assert choose(two_each, published, name="folds", fold=2) == split(two_each, 2)
    assert choose(two_each, {}) == split(two_each, 0)


def test_a_split_or_part_that_does_not_exist_is_refused(two_each, published):
    with pytest.raises(UsageError, match=r"no split '5-5'. Choose one of 8-2, 7-1-2, turns, folds"):
        choose(two_each, published, name="5-5")
    with pytest.raises(UsageError, match=r"has 1 part, so no fold 1.* --split folds"):
        choose(two_each, published, fold=1)


def test_a_published_split_without_its_cases_is_refused(published):
    with pytest.raises(DataError, match="no held-out case of the published split 8-2"):
        choose(made(5, patient=str), published)


def test_a_split_has_as_many_folds_as_parts_and_a_few_patients_one_each():
    published = {"paper": (Part(("a",), ("b",)), Part(("b",), ("a",)))}
    assert count(made(7), published) == 2
    assert count(made(7), published, name="folds") == 5
    assert count(made(3), {}) == 3
    with pytest.raises(UsageError, match="there is no split 'other'"):
        count(made(7), published, name="other")


def test_what_is_kept_for_testing_is_in_no_fold_unless_it_is_all_there_is():
    cases = [replace(case, test=n < 4) for n, case in enumerate(made(10))]
    assert {*split(cases, 0).cases} == {*cases}  # asked for these very cases
    found = [choose(cases, {}, fold=fold) for fold in range(FOLDS)]
    assert all(not case.test for parts in found for case in parts.cases)
    assert count(cases, {}) == FOLDS
    assert count(cases[:6], {}) == 2
    assert len(choose(cases[:4], {}).cases) == 4


def test_a_split_may_name_cases_of_one_patient_apart():
    cases = made(4, patient=lambda n: f"patient_{n // 2}")
    part = Part(("case_000", "case_002"), ("case_001",), watch_held_out=True)
    found = choose(cases, {"published": (part,)})
    assert [case.name for case in found.training] == ["case_000", "case_002"]
    assert [case.name for case in found.held_out] == ["case_001"]
