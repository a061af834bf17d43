from pathlib import Path

import pytest

from medseg.errors import ModelError
from medseg.nnunet_bundle import description, plans
from tests import nnunet_results as results


def task_of(labels=None, channels=("MR",), schemes=("ZScoreNormalization",), **fields):
    changes = {"normalization_schemes": list(schemes), "use_mask_for_norm": [False] * len(schemes)}
    configuration = plans.parse(results.plans(**changes), "3d_fullres", where=Path())
    document = results.description(labels, channels, **fields)
    return description.task(document, configuration, "Dataset007_Toy", where=Path("dataset.json"))


def test_names_are_made_plain_and_keep_apart():
    labels = {"background": 0, "Left Kidney": 1, "left-kidney": 2, "3rd": 3, "ignore": 4}
    found = task_of(labels, ("CT", "CT"), ("CTNormalization", "NoNormalization"))
    values = {name: label.value for name, label in found.labels.items()}
    assert values == {"left_kidney": 1, "left_kidney_2": 2, "label_3rd": 3}
    assert found.channels == {"ct_0": "ct", "ct_1": "mr"}
    assert found.out_channels == 4
    assert found.name == "dataset007_toy"


def test_regions_are_painted_in_their_order():
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "inner": 3}
    found = task_of(labels, regions_class_order=[1, 2, 3])
    assert {name: label.value for name, label in found.labels.items()} == {
        "whole_only": 1, "core_only": 2, "inner": 3,
    }  # fmt: skip
    assert found.region_names == ("whole", "core", "inner")
    assert found.painted == {"whole": "whole_only", "core": "core_only", "inner": "inner"}
    assert found.out_channels == 3


def test_values_that_are_never_painted_are_no_labels():
    labels = {"background": 0, "organ": [1, 2], "lesion": [2, 5]}
    found = task_of(labels, regions_class_order=[1, 2])
    assert {name: label.value for name, label in found.labels.items()} == {
        "organ_only": 1, "lesion_only": 2,
    }  # fmt: skip
    assert found.out_channels == 2


@pytest.mark.parametrize(
    ("labels", "channels", "said"),
    [
        ({"background": 0, "a": 1, "b": 3}, ("MR",), "not numbered from 1 on"),
        ({"background": 0, "a": [1, 2]}, ("MR",), "regions_class_order"),
        ({"background": 0, "a": 1}, ("T1", "T2"), "2 channels are named, but 1"),
    ],
)
def test_what_is_no_description_is_refused(labels, channels, said):
    with pytest.raises(ModelError, match=said):
        task_of(labels, channels)
