import json

import pytest
from MedSegLib import models

from tests.slicer.stand_ins import model_document, model_list


def test_a_list_is_read_with_channels_titles_and_colours():
    (model,) = models.parse([model_list(model_document("t1", "flair"))])
    assert [channel.name for channel in model.channels] == ["t1", "flair"]
    assert "t2f" in model.channels[1].spellings
    assert model.titles == {"anterior": "Anterior", "posterior": "Posterior"}
    assert model.colours["posterior"] == "#3080c0"


def test_no_model_is_no_error():
    assert models.parse(["[]"]) == ()


@pytest.mark.parametrize(
    "answer", ["", "hippocampus  trained", "{}x", '[{"name": 1}]', json.dumps({"a": 1}), "[1]"]
)
def test_anything_else_says_what_to_do(answer):
    with pytest.raises(ValueError, match=r"Update medseg, or choose another program"):
        models.parse([answer])
