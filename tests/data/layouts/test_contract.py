"""What every layout promises, and how data are found."""

import json
from pathlib import Path

import numpy as np
import pytest

from medseg import registry
from medseg import task as tasks
from medseg.data import layouts
from medseg.data.cases import read_image, read_labels
from medseg.errors import DataError, UsageError
from tests.fake_data import FORMS

each_layout = pytest.mark.parametrize("name", registry.names(layouts))


@each_layout
def test_a_layout_is_a_module_that_recognises_data(name):
    assert isinstance(registry.load(layouts, name), layouts.Layout)


@each_layout
def test_an_empty_folder_and_a_file_are_not_recognised(name, tmp_path):
    layout = registry.load(layouts, name)
    assert layout.recognise(tmp_path) is None
    (tmp_path / "scan.nii.gz").write_bytes(b"")
    assert layout.recognise(tmp_path / "scan.nii.gz") is None


@pytest.fixture(scope="module")
def fakes(tmp_path_factory):
    """A folder for each fake data set."""
    root = tmp_path_factory.mktemp("fakes")
    for form, make in FORMS.items():
        make(root / form)
    return root


LAYOUT_OF = {
    **dict.fromkeys(("folders", "case_folders", "pairs"), "folder"),
    **{"nnunet": "nnunet", "table": "table", "decathlon_spleen": "decathlon"},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_data_set_is_recognised_by_its_own_layout(form, fakes):
    found = layouts.recognise(fakes / form)
    assert found.layout == LAYOUT_OF.get(form, form.split("_")[0])
    names = [case.name for case in found.cases]
    assert names == sorted(set(names))
    assert found.labelled
    for case in found.cases:
        assert len(case.images) in (1, len(found.channels))
        assert all(path.is_file() for path in (*case.images, *filter(None, [case.label])))
    assert found.edition
    assert found.task is None or found.task in tasks.names()


@pytest.mark.parametrize("form", FORMS)
def test_published_parts_keep_patients_apart(form, fakes):
    for parts in layouts.recognise(fakes / form).splits.values():
        for part in parts:
            sides = [set(part.training), set(part.held_out), set(part.validation)]
            assert sum(map(len, sides)) == len(set().union(*sides))


@pytest.mark.parametrize("form", FORMS)
def test_a_task_is_found_for_every_data_set(form, fakes):
    matched = layouts.find(fakes / form)
    assert set(matched.task.channels)
    case = matched.data_set.labelled[0]
    image = read_image(case, matched.task)
    labels = read_labels(case, matched.task, image.grid)
    assert set(np.unique(labels)) <= {0} | {x.value for x in matched.task.labels.values()}
    assert labels.any()


def test_every_layout_has_a_fake_data_set(fakes):
    found = {layouts.recognise(fakes / form).layout for form in FORMS}
    assert found == set(registry.names(layouts))


def test_data_of_another_layout_than_the_task_names_are_found_all_the_same(fakes, hippocampus_task):
    spleen = tasks.parse(
        """
        {name: spleen, title: Spleen, layout: acdc, channels: {ct: ct},
         labels: {spleen: {value: 1, colour: "#dd8265", code: SCT^78961009^Spleen}}}
        """,
        where="test",
    )
    assert layouts.find(fakes / "decathlon_spleen", spleen).data_set.layout == "decathlon"
    with pytest.raises(DataError, match="has no label"):
        layouts.find(fakes / "acdc", hippocampus_task)


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
