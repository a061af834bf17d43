"""What a survey leaves behind: `check.json` and `thumbnails.png`."""

import json
from pathlib import Path
from typing import Any

from medseg import files
from medseg.survey import picture
from medseg.survey.measure import Measured
from medseg.survey.survey import Survey


def write(survey: Survey, folder: Path) -> None:
    """Write `check.json` and `thumbnails.png` into `folder`.

    Raises:
        OutputError: They cannot be written.
    """
    text = json.dumps(document(survey), indent=2, ensure_ascii=False)
    files.write_text(folder / "check.json", text + "\n")
    picture.draw(survey, folder / "thumbnails.png")


def document(survey: Survey) -> dict[str, Any]:
    """Return a survey ready for JSON."""
    data_set = survey.data_set
    return {
        "recognised": data_set.edition,
        "layout": data_set.layout,
        "confirmed": survey.confirmed,
        "task": survey.task.name,
        "label_values": {name: label.value for name, label in survey.task.labels.items()},
        "split": survey.split,
        "sound": survey.sound,
        "notes": list(survey.notes),
        "findings": [
            {"severity": str(f.severity), "case": f.case, "cause": f.cause, "fix": f.fix}
            for f in survey.findings
        ],
        "cases": {
            case.case: _case(case, survey)
            for case in sorted(survey.cases, key=lambda case: case.case)
        },
    }


def _case(case: Measured, survey: Survey) -> dict[str, Any]:
    return {
        "part": survey.parts.get(case.case),
        "shape": case.shape,
        "spacing_mm": case.spacing_mm,
        "orientation": case.orientation or None,
        "volumes_ml": dict(case.volumes_ml),
        "file_values": {str(value): count for value, count in case.file_values.items()},
        "intensities": {
            name: {
                "lowest": each.lowest,
                "highest": each.highest,
                "percentiles": list(each.percentiles),
            }
            for name, each in case.intensities.items()
        },
    }
