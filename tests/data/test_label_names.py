"""`labels.json` beside images."""

import json

import pytest

from medseg.data import label_names
from medseg.errors import DataError


def test_values_are_named(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps({"5": "liver", "1": "spleen"}))
    assert label_names.read(tmp_path) == ({"labels.json": {5: "liver", 1: "spleen"}}, False)


def test_others_may_be_background(tmp_path):
    document = {"5": "liver", "others": "background"}
    (tmp_path / "labels.json").write_text(json.dumps(document))
    assert label_names.read(tmp_path) == ({"labels.json": {5: "liver"}}, True)


def test_without_a_file_nothing_is_said(tmp_path):
    assert label_names.read(tmp_path) == ({}, False)


@pytest.mark.parametrize("text", ["", "[1]", '{"liver": 5}', '{"1": "liver", "others": "liver"}'])
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(DataError, match=r"labels\.json: .*\. Write "):
        label_names.read(tmp_path)
