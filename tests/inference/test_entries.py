from pathlib import Path

import pytest
import torch

from medseg.data.cases import Case
from medseg.errors import ImageError, MedsegError
from medseg.inference import entries, predict
from medseg.inference.cohort import Failure, Job, Settings
from medseg.inference.options import Options
from medseg.inference.precision import Precision
from medseg.inference.scans import Scan


@pytest.fixture
def predictor(untrained):
    return predict.load(untrained, torch.device("cpu"), Options("bfloat16", tta=True))


@pytest.fixture
def job(tmp_path):
    return Job(Scan(Case("a", (tmp_path / "a.nii",))), tmp_path / "o/a_seg.nii.gz")


def test_what_is_expected_holds_all_that_decides(job, predictor, untrained, tmp_path):
    entry = entries.expected(job, predictor, Settings(uncertainty=True))
    assert (entry.case, entry.status) == ("a", "failed")
    assert entry.input == [str(tmp_path / "a.nii")]
    assert entry.model == untrained.hash
    assert entry.settings["models"] == [untrained.hash]
    assert entry.settings["precision"] == "bfloat16"
    assert entry.settings["uncertainty"]
    assert entry.settings["tta"]
    assert entry.label_values == {"anterior": 1, "posterior": 2}


@pytest.mark.parametrize(
    ("error", "unforeseen", "said"),
    [
        (ImageError("is damaged:\nDoe Jane", remedy="Mend it"), None, "is damaged:. Mend it."),
        (MedsegError("Doe Jane", remedy="Look"), "KeyError", "failed with KeyError. Look."),
    ],
)
def test_a_failure_is_told_without_what_may_be_of_a_header(job, predictor, error, unforeseen, said):
    expected = entries.expected(job, predictor, Settings())
    assert entries.failed(Failure(job, error, unforeseen), expected).error == said


def test_what_was_computed_in_is_told_of_all_models_or_of_none(predictor, untrained):
    assert [each["used"] for each in entries.told_of(predictor)] == ["bfloat16"]
    both = predict.load(untrained, torch.device("cpu"), Options("float32"), others=(untrained,))
    assert entries.told_of(both) == []
    both.settle_as({1: Precision(torch.bfloat16, "fits")})
    told = entries.told_of(both)
    assert told[1] == {"used": "bfloat16", "reason": "fits"}
    assert entries.precisions_in(told) == both.settled
    assert entries.precisions_in([*told, {"used": "float8"}]) == {}


def test_files_in_folders_are_told_one_by_one(tmp_path):
    names = ["a_stl/liver.stl", "a_stl/aorta.stl", "a.nii"]
    (tmp_path / "a_stl").mkdir()
    for name in names:
        (tmp_path / name).touch()
    found = entries.written([tmp_path / "a_stl", tmp_path / "a.nii"])
    assert [Path(path).name for path in found] == ["aorta.stl", "liver.stl", "a.nii"]
