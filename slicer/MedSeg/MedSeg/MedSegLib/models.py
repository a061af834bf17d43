"""The models that medseg has on this machine, as `medseg models list --json` tells them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LIST = ("models", "list", "--json")


@dataclass(frozen=True)
class Channel:
    """An image that a model needs.

    Attributes:
        name: Its role, such as `t1` or `ct`.
        spellings: How the role is also written in the names of images.
    """

    name: str
    spellings: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A model.

    Attributes:
        name: What `medseg predict --model` takes.
        title: What it segments, for people.
        channels: The images it needs, in order.
        titles: What a person reads for each label.
        colours: `#rrggbb` for each label.
    """

    name: str
    title: str
    channels: tuple[Channel, ...]
    titles: dict[str, str]
    colours: dict[str, str]


def parse(lines: Sequence[str]) -> tuple[Model, ...]:
    """Read the models from what medseg printed.

    Raises:
        ValueError: This is no such list; the message is for people.
    """
    try:
        document = json.loads("\n".join(lines))
        return tuple(_model(entry) for entry in document)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "medseg did not answer with a list of models. Update medseg, or choose another"
            " program under 'Installation'."
        ) from error


def _model(entry: dict[str, Any]) -> Model:
    labels = entry["labels"]
    channels = entry["channels"]
    return Model(
        name=entry["name"],
        title=entry["title"],
        channels=tuple(Channel(each["name"], tuple(each["spellings"])) for each in channels),
        titles={label["name"]: label["title"] for label in labels},
        colours={label["name"]: label["colour"] for label in labels},
    )
