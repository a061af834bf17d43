import pytest

from medseg.errors import ModelError
from medseg.nnunet_bundle import folds

FINAL, BEST, LATEST = (f"checkpoint_{name}.pth" for name in ("final", "best", "latest"))


@pytest.fixture
def folder(tmp_path):
    """Make a results folder of folds that hold empty checkpoints."""

    def make(**checkpoints):
        for fold, names in checkpoints.items():
            (tmp_path / fold).mkdir()
            for name in names:
                (tmp_path / fold / name).touch()
        return tmp_path

    return make


def used(chosen):
    return [f"{path.parent.name}/{path.name}" for path in chosen.checkpoints]


def test_all_folds_that_ended_are_used_by_number_without_a_word(folder):
    place = folder(fold_10=[FINAL], fold_2=[FINAL, BEST], fold_0=[FINAL], crossval=[FINAL])
    found = folds.usual(place)
    assert used(found) == [f"{fold}/{FINAL}" for fold in ("fold_0", "fold_2", "fold_10")]
    assert found.remarks == ()


@pytest.mark.filterwarnings("ignore")  # nnU-Net warns of its own deprecated calls
def test_the_folds_are_those_that_nnunet_detects(folder):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    place = folder(fold_0=[FINAL], fold_1=[BEST], fold_3=[FINAL], fold_4=[], fold_all=[FINAL])
    theirs = nnUNetPredictor.auto_detect_available_folds(str(place), FINAL)
    found = folds.usual(place)
    assert used(found) == [f"fold_{number}/{FINAL}" for number in theirs]
    assert found.remarks == (
        f"uses {FINAL} of fold_0, fold_3",
        f"leaves out fold_1: it has no {FINAL}, but {BEST}",
        f"leaves out fold_4: it has no {FINAL}, but no checkpoint at all",
        "leaves out fold_all: it was trained on all cases, and counts only where there is no other",
    )


def test_the_best_checkpoints_stand_in_where_no_training_ended(folder):
    found = folds.usual(folder(fold_0=[BEST, LATEST], fold_1=[LATEST]))
    assert used(found) == [f"fold_0/{BEST}"]
    assert found.remarks == (
        f"uses {BEST} of fold_0, as no fold has {FINAL}",
        f"leaves out fold_1: it has no {BEST}, but {LATEST}",
    )


def test_a_fold_of_all_cases_comes_before_trainings_that_did_not_end(folder):
    assert used(folds.usual(folder(fold_0=[BEST], fold_all=[FINAL]))) == [f"fold_all/{FINAL}"]


def test_a_fold_that_is_asked_for_is_used_or_refused_with_what_there_is(folder):
    place = folder(fold_0=[FINAL, BEST], fold_1=[BEST], fold_2=[LATEST])
    assert folds.one(place / "fold_0") == folds.Chosen((place / "fold_0" / FINAL,))
    best = folds.one(place / "fold_1")
    assert used(best) == [f"fold_1/{BEST}"]
    assert best.remarks == (f"fold_1: uses {BEST}, as there is no {FINAL}",)
    there = f"fold_0 has {BEST}, {FINAL}; fold_1 has {BEST}; fold_2 has {LATEST}"
    for missing in ("fold_2", "fold_7"):
        with pytest.raises(ModelError, match=f"{missing}: holds no {FINAL} or {BEST}: {there}"):
            folds.one(place / missing)


def test_a_folder_without_folds_is_refused(tmp_path):
    with pytest.raises(ModelError, match=f"holds no {FINAL} or {BEST}\\. Give"):
        folds.usual(tmp_path)
