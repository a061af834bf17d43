import json
from pathlib import Path

import pytest
from MedSegLib import models, report

from tests.slicer.stand_ins import model_document, model_list

(MODEL,) = models.parse([model_list(model_document("t1"))])
OUTPUT = Path("/elsewhere/scan_seg.seg.nrrd")
ENTRY = {
    "output": str(OUTPUT),
    "volumes_ml": {"anterior": 1.2345, "posterior": 0.0},
    "quality": {
        "verdict": "check",
        "reasons": ["Anterior reaches the border"],
        "labels": {
            "anterior": {
                "components": 2,
                "touches_border": ["left", "top"],
                "mean_entropy": 0.125,
                "outside_training": ["volume"],
            },
            "posterior": {"components": 0, "touches_border": [], "mean_entropy": None},
        },
    },
}


def written(folder, *entries):
    (folder / report.NAME).write_text(json.dumps({"cases": entries}), encoding="utf-8")
    return folder


def test_a_verdict_comes_with_its_reasons_and_a_row_for_each_structure(tmp_path):
    other = {**ENTRY, "output": "/elsewhere/other.seg.nrrd", "quality": None}
    found = report.read(written(tmp_path, other, ENTRY), OUTPUT, MODEL)
    assert found.verdict == "check"
    assert found.summary.splitlines()[1:] == ["- Anterior reaches the border"]
    remarks = "reaches the border (left, top); unlike training: volume"
    assert found.rows == (
        report.Row("#e0a030", ("Anterior", "1.23", "2", "0.12", remarks)),
        report.Row("#3080c0", ("Posterior", "0.00", "0", "", "")),
    )


def test_a_structure_that_the_model_does_not_name_is_shown_by_its_key(tmp_path):
    entry = {**ENTRY, "volumes_ml": {"cyst": 2}, "quality": {"verdict": "new", "reasons": []}}
    found = report.read(written(tmp_path, entry), OUTPUT, MODEL)
    assert found.rows == (report.Row(None, ("cyst", "2.00", "", "", "")),)
    assert found.summary == "new"


@pytest.mark.parametrize("text", ["", "[]", '{"cases": []}', '{"cases": [{"output": 1}]}'])
def test_what_cannot_be_read_is_told(tmp_path, text):
    (tmp_path / report.NAME).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="no report that can be read"):
        report.read(tmp_path, OUTPUT, MODEL)
