"""What a model has seen: ranges over its training cases, kept in its bundle.

A scan or a segmentation that lies far outside them is one the model was not trained for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medseg.errors import ModelError

LEVELS: Final = (0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5)
"""Percentiles by which the intensities of a channel are described."""

Levels = tuple[float, float, float, float, float, float, float]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Spread(_Strict):
    """How a quantity is spread over the training cases.

    Attributes:
        lowest: Its smallest value.
        middle: Its median.
        highest: Its largest value.
    """

    lowest: float
    middle: float
    highest: float

    def holds(self, value: float, *, margin: float = 0.0) -> bool:
        """Tell whether `value` lies in the range, or beyond it by at most `margin`."""
        return self.lowest - margin <= value <= self.highest + margin

    def holds_within(self, value: float, factor: float) -> bool:
        """Tell whether a positive `value` lies in the range widened by `factor` on both sides."""
        return self.lowest / factor <= value <= self.highest * factor


class ChannelExperience(_Strict):
    """The intensities of one channel.

    Attributes:
        minimum: Smallest intensity, in the file's unit.
        zero_share: Share of voxels that are exactly zero.
        levels: Percentiles (`LEVELS`): in Hounsfield units for CT, in standard deviations from
            the mean of the voxels that are not zero for MR.
    """

    minimum: Spread
    zero_share: Spread
    levels: tuple[Spread, Spread, Spread, Spread, Spread, Spread, Spread]


class LabelExperience(_Strict):
    """One label, over the cases in which it is present.

    Attributes:
        present: Share of cases in which it is present.
        touching: Share of those in which it touches the image's border.
        volume_ml: Its volume.
        components: Its number of connected parts.
        intensities: Its mean intensity in each channel, in the unit of the channel's levels.
    """

    present: Share
    touching: Share
    volume_ml: Spread
    components: Spread
    intensities: dict[str, Spread]


class Experience(_Strict):
    """What the training cases were like.

    Attributes:
        cases: How many there were.
        spacing_mm: Distance between voxels along each RAS axis.
        extent_mm: Size of the image along each RAS axis.
        channels: Intensities by channel.
        correlations: For each pair of channels, `first second`, how their intensities go together
            over the voxels that are zero in neither; from -1 to 1.
        labels: Labels that are in at least one case.
    """

    cases: Annotated[int, Field(ge=1)]
    spacing_mm: tuple[Spread, Spread, Spread]
    extent_mm: tuple[Spread, Spread, Spread]
    channels: dict[str, ChannelExperience]
    correlations: dict[str, Spread] = {}
    labels: dict[str, LabelExperience] = {}


def spread(values: Sequence[float]) -> Spread:
    """Return how `values`, at least one, are spread."""
    lowest, middle, highest = (float(value) for value in np.percentile(values, (0, 50, 100)))
    return Spread(lowest=lowest, middle=middle, highest=highest)


def text(experience: Experience) -> str:
    """Return `experience` as YAML; `parse` is its inverse."""
    return yaml.safe_dump(experience.model_dump(mode="json"), sort_keys=False)


def parse(content: str, *, where: Path) -> Experience:
    """Make an experience of YAML text.

    Raises:
        ModelError: A field is missing, unknown or wrong.
    """
    try:
        return Experience.model_validate(yaml.safe_load(content))
    except (yaml.YAMLError, ValidationError) as error:
        raise ModelError(
            "does not describe training cases in a way this medseg knows",
            where=where,
            remedy="Use the version of medseg that trained the model",
        ) from error
