"""What medseg's `report.json` says of a segmentation: its quality and its volumes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from MedSegLib.models import Model

NAME = "report.json"

_VERDICTS = {
    "pass": "Nothing unusual was found. That is no proof of a right result.",
    "check": "Look at this segmentation with care.",
    "fail": "This segmentation is probably wrong.",
}
COLUMNS = ("Structure", "Volume (mL)", "Parts", "Entropy", "Remarks")


@dataclass(frozen=True)
class Row:
    """A structure.

    Attributes:
        colour: `#rrggbb`, or None if the model does not tell.
        cells: What the table shows, in the order of `COLUMNS`.
    """

    colour: Optional[str]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """What was found in one scan.

    Attributes:
        verdict: `pass`, `check` or `fail`.
        summary: The verdict and its reasons, for people.
        rows: The structures.
    """

    verdict: str
    summary: str
    rows: tuple[Row, ...]


def read(folder: Path, output: Path, model: Model) -> Findings:
    """Read what `folder`'s report says of the segmentation `output`.

    Raises:
        ValueError: There is no such report, or it does not tell; the message is for people.
    """
    path = folder / NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        named = {Path(entry["output"]).name: entry for entry in document["cases"]}
        return _findings(named[output.name], model)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("medseg left no report that can be read. Update medseg.") from error


def _findings(entry: dict[str, Any], model: Model) -> Findings:
    quality = entry["quality"]
    verdict = quality["verdict"]
    lines = [_VERDICTS.get(verdict, verdict), *(f"- {reason}" for reason in quality["reasons"])]
    measured = quality.get("labels", {})
    rows = [
        _row(name, volume, measured.get(name, {}), model)
        for name, volume in entry["volumes_ml"].items()
    ]
    return Findings(verdict, "\n".join(lines), tuple(rows))


def _row(name: str, volume_ml: float, measured: dict[str, Any], model: Model) -> Row:
    border = measured.get("touches_border") or ()
    outside = measured.get("outside_training") or ()
    remarks = [f"reaches the border ({', '.join(border)})"] if border else []
    remarks += [f"unlike training: {each}" for each in outside]
    cells = (
        model.titles.get(name, name),
        f"{volume_ml:.2f}",
        _number(measured.get("components"), "d"),
        _number(measured.get("mean_entropy"), ".2f"),
        "; ".join(remarks),
    )
    return Row(model.colours.get(name), cells)


def _number(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)
