"""Quality control of a segmentation: what is measured of each label, and a verdict with reasons.

`fail`: the result cannot be right as it stands. `check`: a person should look. `pass`: nothing was
found that speaks against it, which is no proof that it is right. The thresholds are ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from medseg.data.description import LabelDescription
from medseg.experience import Experience, LabelExperience
from medseg.task import Task

Verdict = Literal["pass", "check", "fail"]

ALWAYS_PRESENT: Final = 0.95
"""A label that is in this share of the training cases is expected in every scan."""
SELDOM_CUT: Final = 0.05
"""A label that touches the border in fewer training cases than this is cut off where it does."""
VOLUME_FACTORS: Final = {"check": 1.25, "fail": 4.0}
"""How many times smaller or larger than any in training a volume may be."""
UNSURE: Final = 0.5
INTENSITY_MARGIN: Final = {"ct": 100.0, "mr": 0.75}
"""In Hounsfield units; in standard deviations of the scan."""


@dataclass(frozen=True)
class LabelQuality:
    """One label.

    Attributes:
        volume_ml: Its volume.
        components: Number of parts.
        touches_border: The sides of the image it reaches.
        mean_entropy: From 0, certain, to 1; None if the label was not found.
        outside_training: What of it lies outside the training cases: volume, intensity or both.
    """

    volume_ml: float
    components: int
    touches_border: tuple[str, ...]
    mean_entropy: float | None
    outside_training: tuple[str, ...]


@dataclass(frozen=True)
class Quality:
    """A verdict on a segmentation, the reasons for it, and what they rest on."""

    verdict: Verdict
    reasons: tuple[str, ...]
    labels: dict[str, LabelQuality]


def assess(
    labels: Mapping[str, LabelDescription],
    mean_entropy: Mapping[str, float],
    experience: Experience | None,
    task: Task,
    *,
    warnings: list[str],
) -> Quality:
    """Judge a segmentation.

    Args:
        labels: What every label of the task is like.
        mean_entropy: Of the labels that were found.
        experience: What the training cases were like, if it is known.
        task: Names the labels and channels.
        warnings: What is unusual about the scan; each is a reason to check.
    """
    failing, doubtful = [], list(warnings)
    found = {}
    for name, label in labels.items():
        seen = experience.labels.get(name) if experience else None
        outside = _outside(label, seen, task)
        unsure = mean_entropy.get(name)
        found[name] = LabelQuality(
            label.volume_ml, label.components, label.touches, unsure, tuple(outside)
        )
        failing += _impossible(name, label, seen)
        doubtful += [
            f"{name} {text}" for text in outside.values() if f"{name} {text}" not in failing
        ]
        doubtful += _doubtful_shape(name, label, seen)
        if unsure is not None and unsure > UNSURE:
            doubtful.append(f"{name} is uncertain: mean entropy {unsure:.2f} of 1")
    if experience is None and not any(label.volume_ml for label in labels.values()):
        doubtful.append("nothing was found")
    verdict: Verdict = "fail" if failing else "check" if doubtful else "pass"
    return Quality(verdict, (*failing, *doubtful), found)


def _impossible(name: str, label: LabelDescription, seen: LabelExperience | None) -> list[str]:
    if seen is None:
        return []
    if label.volume_ml == 0:
        expected = seen.present >= ALWAYS_PRESENT
        share = f"{100 * seen.present:.0f} %"
        return [f"{name} was not found; it is in {share} of the training cases"] * expected
    if not seen.volume_ml.holds_within(label.volume_ml, VOLUME_FACTORS["fail"]):
        return [f"{name} has {_volumes(label, seen)}"]
    return []


def _outside(label: LabelDescription, seen: LabelExperience | None, task: Task) -> dict[str, str]:
    """Return what lies outside training, each with a text that goes on from the label's name."""
    if seen is None or label.volume_ml == 0:
        return {}
    outside = {}
    if not seen.volume_ml.holds_within(label.volume_ml, VOLUME_FACTORS["check"]):
        outside["volume"] = f"has {_volumes(label, seen)}"
    for channel, spread in seen.intensities.items():
        margin = INTENSITY_MARGIN[task.channels[channel]]
        if not spread.holds(label.intensities[channel], margin=margin):
            outside["intensity"] = (
                f"has a mean of {label.intensities[channel]:.1f} in {channel}; in training"
                f" {spread.lowest:.1f} to {spread.highest:.1f}"
            )
    return outside


def _volumes(label: LabelDescription, seen: LabelExperience) -> str:
    low, high = seen.volume_ml.lowest, seen.volume_ml.highest
    return f"{label.volume_ml:.3g} mL; in training {low:.3g} to {high:.3g} mL"


def _doubtful_shape(name: str, label: LabelDescription, seen: LabelExperience | None) -> list[str]:
    doubts = []
    if label.touches and (seen is None or seen.touching < SELDOM_CUT):
        sides = " and ".join(label.touches)
        doubts.append(f"{name} reaches the image's border ({sides}): it may be cut off")
    if seen is not None and label.components > 2 * seen.components.highest + 1:
        most = seen.components.highest
        doubts.append(f"{name} is in {label.components} parts; in training at most {most:.0f}")
    return doubts
