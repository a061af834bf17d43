"""A task drafted from a data set: what the data say, and defaults for a person to correct."""

import colorsys
from typing import Any, Final, get_args

import numpy as np
import yaml
from pydantic import ValidationError

from medseg import formats, resources
from medseg import task as tasks
from medseg.data.data_set import BACKGROUND, DataSet, plain
from medseg.errors import DataError
from medseg.task import Modality, Task

_CODE: Final = "SCT^85756007^Tissue"
_SIDED: Final = ("left", "right", "anterior", "posterior", "superior", "inferior", "upper", "lower")
_AIR_HU: Final = -500.0
_GOLDEN: Final = 0.618034  # of the colour circle, so that neighbours differ


def draft(data_set: DataSet, name: str | None = None) -> Task:
    """Return a task for `data_set`: its channels, its labels and regions.

    Colours differ, every code is "Tissue", and axes are mirrored unless a label's name has a side.

    Args:
        data_set: As its layout found it.
        name: Of the task; else that of its folder.

    Raises:
        DataError: No label map holds a label.
        ImageError: A label map is damaged that the labels are read from.
    """
    labels = {
        value: plain(title)
        for value, title in data_set.labels.items()
        if plain(title) != BACKGROUND
    } or {value: f"label_{value}" for value in _values(data_set)}
    labels.pop(0, None)
    if not labels:
        raise DataError(
            "holds no label", where=data_set.root, remedy="Give label maps that are not empty"
        )
    folder = data_set.root.parent if data_set.root.is_file() else data_set.root
    names = dict.fromkeys(labels.values())
    document = {
        "name": name or plain(folder.resolve().name),
        "title": data_set.edition,
        "layout": data_set.layout,
        "channels": _channels(data_set),
        "labels": {
            label: {
                "value": next(value for value in labels if labels[value] == label),
                **_appearance(place),
            }
            for place, label in enumerate(names)
        },
        "regions": {
            region: {"labels": [labels[value] for value in values], **_appearance(place)}
            for place, (region, values) in enumerate(data_set.regions.items())
        },
        "mirror_axes": () if _has_sides(list(names)) else ("x", "y", "z"),
    }
    try:
        return Task.model_validate(document)
    except ValidationError as error:
        raise DataError(
            f"describes no task: {error.errors()[0]['msg']}",
            where=data_set.root,
            remedy="Correct the description of its labels, or write a task of your own",
        ) from error


def yaml_text(task: Task, data_set: DataSet) -> str:
    """Return a drafted task as YAML, with what a person should look at."""
    return (
        f"# Drafted from {data_set.edition}. Correct what is wrong; above all:\n"
        "# - names, titles and codes of the labels (a code is SCHEME^VALUE^MEANING, as in DICOM),\n"
        "# - channels: mr or ct decides how intensities are normalised,\n"
        "# - regions, if labels should be scored together,\n"
        "# - mirror_axes: world axes along which mirroring changes no label.\n" + tasks.text(task)
    )


def card_text(task: Task) -> str:
    """Return a data card to fill in; what it repeats of the task is there already."""
    template = (resources.folder("data_cards") / "TEMPLATE.md").read_text(encoding="utf-8")
    _, _, prose = template.split("---\n", 2)
    facts = card_facts(task) | {"licence": "SPDX name or link"}
    return f"---\n{yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)}---\n{prose}"


def card_facts(task: Task) -> dict[str, Any]:
    """Return what the front matter of a data card must say of its task."""
    return {
        "task": task.name,
        "layout": task.layout,
        "channels": list(task.channels),
        "labels": {name: label.value for name, label in task.labels.items()},
    }


def _appearance(place: int) -> dict[str, Any]:
    red, green, blue = colorsys.hsv_to_rgb(place * _GOLDEN % 1.0, 0.65, 0.85)
    colour = "#" + "".join(f"{round(255 * part):02x}" for part in (red, green, blue))
    return {"colour": colour, "code": _CODE}


def _channels(data_set: DataSet) -> dict[str, Modality]:
    modalities = data_set.modalities or _modalities(data_set)
    known = get_args(Modality)
    return {
        plain(name): next(each for each in known if each == modality)
        for name, modality in zip(data_set.channels, modalities, strict=True)
    }


def _modalities(data_set: DataSet) -> tuple[str, ...]:
    """Return `ct` for channels that are called so, or whose first image holds air in HU."""
    first = (*data_set.labelled, *data_set.cases)[0]
    channels = [voxels for image in first.images for voxels in formats.read(image).voxels]
    return tuple(
        "ct" if "ct" in plain(name).split("_") or float(voxels.min()) < _AIR_HU else "mr"
        for name, voxels in zip(data_set.channels, channels, strict=False)
    )


def _has_sides(names: list[str]) -> bool:
    return any(side in name.split("_") for name in names for side in _SIDED)


def _values(data_set: DataSet) -> list[int]:
    """Return the whole numbers that occur in the label maps, where the data set names no values.

    Others, NaN among them, are refused when the case is read.
    """
    found: set[int] = set()
    for case in data_set.labelled:
        if case.label is not None:
            values = np.unique(formats.read_label_map(case.label).voxels).tolist()
            found |= {int(value) for value in values if float(value).is_integer()}
    return sorted(found - {0})
