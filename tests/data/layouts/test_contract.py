"""What every layout promises, and how data are found."""

import json
from pathlib import Path

import numpy as np
import pytest

from medseg import registry
from medseg.data import layouts
from medseg.errors import DataError, UsageError

each_layout = pytest.mark.parametrize("name", registry.names(layouts))


@each_layout
def test_a_layout_is_a_module_that_lists_cases(name):
    assert isinstance(registry.load(layouts, name), layouts.Layout)


@each_layout
def test_an_empty_folder_is_refused_with_a_remedy(name, tmp_path, hippocampus_task):
    task = hippocampus_task.model_copy(update={"layout": name})
    with pytest.raises(DataError, match=r"\. Give [^.]+"):
        layouts.cases(tmp_path, task)


@pytest.fixture
def decathlon(tmp_path, put):
    """A data set of cases with the given names, in that order."""

    def made(*names):
        for name in set(names):
            for part in ("imagesTr", "labelsTr"):
                put(tmp_path / part / f"{name}.nii.gz", np.zeros((2, 2, 2), dtype=np.uint8))
        listed = [
            {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
            for name in names
        ]
        (tmp_path / "dataset.json").write_text(json.dumps({"training": listed}))
        return tmp_path

    return made


def test_cases_are_sorted_by_name(decathlon, hippocampus_task):
    found = layouts.cases(decathlon("c", "a", "b"), hippocampus_task)
    assert [case.name for case in found] == ["a", "b", "c"]


def test_two_cases_of_one_name_are_refused(decathlon, hippocampus_task):
    with pytest.raises(DataError, match="holds several cases called a"):
        layouts.cases(decathlon("a", "b", "a"), hippocampus_task)


def test_a_folder_without_cases_is_refused(decathlon, hippocampus_task):
    with pytest.raises(DataError, match="holds no labelled cases"):
        layouts.cases(decathlon("._a"), hippocampus_task)


def test_a_folder_that_is_not_there_is_refused(tmp_path, hippocampus_task):
    with pytest.raises(DataError, match=r"absent: there is no such folder\. Check the path"):
        layouts.cases(tmp_path / "absent", hippocampus_task)


def test_a_layout_that_does_not_exist_is_refused(tmp_path, hippocampus_task):
    task = hippocampus_task.model_copy(update={"layout": "brain_bank"})
    with pytest.raises(
        UsageError, match=r"layout 'brain_bank', which .* Choose one of .*decathlon"
    ):
        layouts.cases(tmp_path, task)


@pytest.fixture
def empty_place(tmp_path, monkeypatch):
    """A working folder without data, and no MEDSEG_DATA."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDSEG_DATA", raising=False)
    return tmp_path


def test_data_are_found_beside_the_user_and_first_where_the_environment_says(
    empty_place, hippocampus_task, monkeypatch
):
    (empty_place / "data" / "hippocampus").mkdir(parents=True)
    assert layouts.find_data(hippocampus_task) == Path("data/hippocampus")
    monkeypatch.setenv("MEDSEG_DATA", str(empty_place / "archive"))
    assert layouts.find_data(hippocampus_task) == Path("data/hippocampus")
    (empty_place / "archive" / "hippocampus").mkdir(parents=True)
    assert layouts.find_data(hippocampus_task) == empty_place / "archive" / "hippocampus"


@pytest.mark.usefixtures("empty_place")
def test_missing_data_are_explained_by_where_they_come_from(hippocampus_task, phantom_task):
    with pytest.raises(DataError, match="Download Task04_Hippocampus from http"):
        layouts.find_data(hippocampus_task)
    with pytest.raises(DataError, match="Make them with 'medseg phantom data/phantom'"):
        layouts.find_data(phantom_task)
    own = hippocampus_task.model_copy(update={"source": None})
    with pytest.raises(DataError, match=r"Have your data ready, .* --data DIR"):
        layouts.find_data(own)
