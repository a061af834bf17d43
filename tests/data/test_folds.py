from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.model_selection import KFold

from medseg.data.cases import Case
from medseg.data.folds import FOLDS, split
from medseg.errors import UsageError


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


def test_fewer_patients_than_folds_are_refused():
    with pytest.raises(UsageError, match="4 patients cannot be split into 5 folds"):
        split(made(8, patient=lambda n: str(n // 2)), 0)
