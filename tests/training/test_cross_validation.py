"""A run for each fold, and the scores of all that they held out."""

import csv
import json
import shutil
import signal

import pytest

from medseg.errors import UsageError
from medseg.training import cross_validation
from medseg.training.run_folder import RunFolder, read_split


class Quiet:
    """Counts what it is told; presses Ctrl-C in a fold if asked to."""

    def __init__(self, stop_in=None):
        self.folds = []
        self.stop_in = stop_in
        self.predicted = 0

    def on_fold(self, fold, total):
        self.folds.append((fold, total))

    def on_step(self, *_told):
        if self.stop_in is not None and len(self.folds) == self.stop_in + 1:
            signal.raise_signal(signal.SIGINT)

    def on_done(self, *_told):
        self.predicted += 1

    def _heard(self, *_told):
        pass

    on_case = on_survey = on_plan = on_concern = on_init = on_smaller = on_interrupt = _heard
    on_start = on_failure = on_remark = _heard


@pytest.fixture
def three(phantom_folder, tmp_path):
    """Three cases of the phantom, so that there are three folds."""
    folder = tmp_path / "three"
    shutil.copytree(phantom_folder, folder)
    document = json.loads((folder / "dataset.json").read_text())
    document["training"] = document["training"][:3]
    (folder / "dataset.json").write_text(json.dumps(document))
    return folder


@pytest.mark.slow
def test_an_interrupted_cross_validation_goes_on_and_scores_every_case_once(
    make_request, three, tmp_path
):
    folder = tmp_path / "all"
    request = make_request(epochs=1, data=three)
    first = Quiet(stop_in=1)
    stopped = cross_validation.begin(request, folder, first)
    assert not stopped.finished
    assert first.folds == [(0, 3), (1, 3)]
    assert cross_validation.is_one(folder)
    with pytest.raises(UsageError, match="there is a cross-validation in this folder already"):
        cross_validation.begin(request, folder, Quiet())
    again = Quiet()
    trained = cross_validation.resume(folder, again)
    assert trained.finished
    assert not (folder / "cache").exists()
    scores = cross_validation.score(trained, folder, again)
    held_out = [read_split(RunFolder(folder / f"fold{n}")).held_out for n in range(3)]
    names = [case.name for cases in held_out for case in cases]
    assert len(set(names)) == len(names) == 3
    assert sorted(scores.cases) == sorted(names)
    with (folder / "scores" / "scores.csv").open() as file:
        assert {row["case"] for row in csv.DictReader(file)} == set(names)
    assert again.predicted == 3
    once_more = Quiet()
    cross_validation.score(cross_validation.resume(folder, once_more), folder, once_more)
    assert once_more.predicted == 0  # what is done is not done again


def test_a_folder_without_folds_is_no_cross_validation(tmp_path):
    assert not cross_validation.is_one(tmp_path)
    with pytest.raises(UsageError, match="there is no training run to resume"):
        cross_validation.resume(tmp_path, Quiet())
