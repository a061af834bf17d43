"""What every module of clinical numbers promises."""

import pytest

from medseg import task as tasks
from medseg.evaluation import clinical

INFO = "ED: 1\nES: 12\nGroup: NOR\nHeight: 180.0\nNbFrame: 30\nWeight: 80.0\n"

each_module = pytest.mark.parametrize("name", clinical.names())


@pytest.fixture
def data(tmp_path):
    for patient in ("patient001", "patient002"):
        (tmp_path / patient).mkdir()
        (tmp_path / patient / "Info.cfg").write_text(INFO)
    return tmp_path


def cohort(regions, volume_ml):
    cases = [f"patient{number:03d}_frame{frame:02d}" for number in (1, 2) for frame in (1, 12)]
    return {case: dict.fromkeys(regions or ("a", "b"), volume_ml) for case in cases}


def test_there_are_volumes_and_the_function_of_the_heart():
    assert clinical.names() == ["cardiac_function", "volumes"]


@each_module
def test_it_has_the_form_of_clinical_numbers(name):
    module = clinical.load(name)
    assert isinstance(module, clinical.Clinical)
    assert module.SOURCE


@each_module
@pytest.mark.parametrize("volume_ml", [10.0, 0.0])
def test_its_quantities_are_the_same_for_every_subject_whatever_was_found(name, volume_ml, data):
    module = clinical.load(name)
    quantities = {}
    for number in module.compute(cohort(module.REGIONS, volume_ml), data):
        assert number.unit
        quantities.setdefault(number.subject, []).append((number.quantity, number.unit))
    first, *others = quantities.values()
    assert others
    assert all(other == first for other in others)
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_names_modules_that_there_are_and_has_their_regions(name):
    task = tasks.read(name)
    for module in map(clinical.load, task.clinical):
        assert set(module.REGIONS) <= set(task.region_names)


def test_an_unknown_module_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="choose from"):
        clinical.load("bone_age")
