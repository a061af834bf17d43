"""`medseg phantom`."""

import json

from medseg.__main__ import run


def test_a_data_set_is_made(tmp_path, capsys):
    folder = tmp_path / "phantom"
    assert run(["phantom", str(folder), "--cases", "5", "--test-cases", "1"]) == 0
    assert str(folder) in capsys.readouterr().out
    assert len(json.loads((folder / "dataset.json").read_text())["training"]) == 5
    assert len(list((folder / "imagesTs").iterdir())) == 1
