import json

import numpy as np

from medseg.export import label_names
from medseg.segmentation import Segmentation
from medseg.volume import Grid


def test_labels_and_regions_are_told_with_their_codes(tmp_path, phantom_task):
    nothing = Segmentation(np.zeros((2, 2, 2), np.uint8), Grid((2, 2, 2), np.eye(4)), phantom_task)
    label_names.write(tmp_path / "a.labels.json", nothing)
    told = json.loads((tmp_path / "a.labels.json").read_text(encoding="utf-8"))
    assert told["task"] == "phantom"
    assert told["labels"]["inner"] == {
        "title": "Inner part",
        "value": 4,
        "colour": "#d04040",
        "category": "SCT^49755003^Morphologically Altered Structure",
        "code": "SCT^6574001^Necrosis",
        "anatomic_region": "SCT^12738006^Brain",
    }
    assert told["regions"]["core"]["labels"] == ["mantle", "inner"]
