import csv

import numpy as np

from medseg import task as tasks
from medseg.export import csv_table
from medseg.segmentation import Segmentation
from medseg.volume import Grid


def test_a_row_has_value_name_colour_and_codes(tmp_path):
    task = tasks.read("synapse_13")
    nothing = Segmentation(np.zeros((2, 2, 2), np.uint8), Grid((2, 2, 2), np.eye(4)), task)
    csv_table.write(tmp_path / "a.csv", nothing)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["LabelValue"]) for row in rows] == list(range(1, 14))
    kidney = rows[1]
    assert kidney["Name"] == "Right kidney"
    colour = [kidney[f"Color_{part}"] for part in "RGBA"]
    assert colour == ["185", "102", "62", "255"]  # b9663e
    codes = {
        concept: [
            kidney[f"{concept}_{part}"] for part in ("CodingScheme", "CodeValue", "CodeMeaning")
        ]
        for concept in ("Category", "Type", "TypeModifier", "Region", "RegionModifier")
    }
    assert codes == {
        "Category": ["SCT", "123037004", "Anatomical Structure"],
        "Type": ["SCT", "64033007", "Kidney"],
        "TypeModifier": ["SCT", "24028007", "Right"],
        "Region": ["SCT", "818981001", "Abdomen"],
        "RegionModifier": ["", "", ""],
    }
