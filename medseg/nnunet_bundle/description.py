"""The task that an nnU-Net `dataset.json` describes.

Where labels are lists of values, they are regions that are painted over each other in the order of
`regions_class_order`. A value that is painted for a region of several values is called after it,
`tumour_only`: it is what no later region covers.

Source: https://github.com/MIC-DKFZ/nnUNet, `documentation/dataset_format.md` and
`documentation/region_based_training.md`
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from medseg.data import drafts
from medseg.data.data_set import BACKGROUND, DataSet, plain
from medseg.errors import DataError, ModelError
from medseg.nnunet_bundle.plans import Configuration
from medseg.task import Task

_IGNORE: Final = "ignore"


def task(
    description: Mapping[str, Any], configuration: Configuration, name: str, *, where: Path
) -> Task:
    """Make the task of a data set.

    Args:
        description: The content of `dataset.json`.
        configuration: Says which channels are CT.
        name: Of the data set, such as `Dataset004_Hippocampus`.
        where: The file, for messages.

    Raises:
        ModelError: It does not describe what a network of nnU-Net is trained for.
    """
    try:
        heads = _heads(description)
        painted = _painted(description, heads)
        data_set = DataSet(
            layout="nnunet",
            edition=f"nnU-Net {name}",
            root=where,
            cases=(),
            channels=_channels(description, len(configuration.schemes)),
            modalities=tuple(
                "ct" if scheme == "CTNormalization" else "mr" for scheme in configuration.schemes
            ),
            numberings={where.name: _names(heads, painted)},
            regions=_regions(heads, painted) if painted else {},
        )
        drafted = drafts.draft(data_set, plain(name))
        if painted is None:
            return drafted
        names = {label.value: key for key, label in drafted.labels.items()}
        rule = {region: names[value] for region, value in painted.items()}
        return Task.model_validate(drafted.model_dump() | {"painted": rule})
    except (DataError, ValidationError, KeyError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ModelError(
            f"does not describe what a network of nnU-Net segments: {said:.200}",
            where=where,
            remedy="Copy the folder anew from where it was trained",
        ) from error


def _heads(description: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the values of every output but background, by a name that is its own."""
    heads: dict[str, tuple[int, ...]] = {}
    for title, given in description["labels"].items():
        values = tuple(map(int, given)) if isinstance(given, list) else (int(given),)
        if title == _IGNORE or set(values) == {0}:
            continue
        name = plain(title)
        if name in heads or name == BACKGROUND:
            name = f"{name}_{values[0]}"
        heads[name] = values
    return heads


def _painted(
    description: Mapping[str, Any], heads: Mapping[str, tuple[int, ...]]
) -> dict[str, int] | None:
    """Return the value that is painted for each region; None if the labels are no regions."""
    if all(len(values) == 1 for values in heads.values()):
        values = sorted(value for (value,) in heads.values())
        if values != list(range(1, len(values) + 1)):
            raise ValueError(f"the labels {values} are not numbered from 1 on")
        return None
    order = [int(value) for value in description["regions_class_order"]]
    return dict(zip(heads, order, strict=True))


def _names(
    heads: Mapping[str, tuple[int, ...]], painted: Mapping[str, int] | None
) -> dict[int, str]:
    """Return the label that each value of a result stands for."""
    if painted is None:
        return {values[0]: name for name, values in heads.items()}
    return {
        value: name if len(heads[name]) == 1 else f"{name}_only" for name, value in painted.items()
    }


def _regions(
    heads: Mapping[str, tuple[int, ...]], painted: Mapping[str, int]
) -> dict[str, tuple[int, ...]]:
    """Return the values of each region that a result can show."""
    shown = set(painted.values())
    return {
        name: tuple(value for value in values if value in shown) or (painted[name],)
        for name, values in heads.items()
    }


def _channels(description: Mapping[str, Any], count: int) -> tuple[str, ...]:
    given = description.get("channel_names", description.get("modality", {}))
    names = [plain(str(given[key])) for key in sorted(given, key=int)]
    if len(names) != count:
        raise ValueError(f"{len(names)} channels are named, but {count} are normalised")
    return tuple(
        name if names.count(name) == 1 else f"{name}_{place}" for place, name in enumerate(names)
    )
