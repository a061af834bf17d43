"""`check.json`."""

import json

from medseg.survey import files


def test_a_survey_is_written_with_each_finding(survey_of, tmp_path):
    def damage(root):
        next(root.rglob("*_t1.nii.gz")).write_bytes(b"")

    files.write(survey_of("brats_2021", damage), tmp_path / "out")
    document = json.loads((tmp_path / "out" / "check.json").read_text(encoding="utf-8"))
    assert document["recognised"] == "BraTS 2021"
    assert document["layout"] == document["task"] == "brats"
    assert document["label_values"] == {"necrosis": 1, "oedema": 2, "enhancing": 4}
    assert not document["sound"]
    (finding,) = document["findings"]
    assert finding["severity"] == "error"
    assert finding.keys() == {"severity", "case", "cause", "fix"}
    damaged = document["cases"][finding["case"]]
    assert damaged["shape"] is None
    others = [case for case in document["cases"].values() if case is not damaged]
    assert all(case["spacing_mm"] == [1.0, 1.0, 1.0] for case in others)
    assert (tmp_path / "out" / "thumbnails.png").is_file()
