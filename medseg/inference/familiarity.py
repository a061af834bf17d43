"""How far a scan lies from what its model was trained on, in words.

A scan is unfamiliar where it leaves the range of the training cases by more than such ranges vary
from one set of scans to the next; the margins below are ours. Channels that were given in another
order are found by their intensities, which tell less than names do.
"""

from itertools import combinations, permutations
from typing import Final

from medseg.data.description import ChannelDescription, ScanDescription
from medseg.experience import LEVELS, ChannelExperience, Experience, Spread
from medseg.task import Task

SPACING_FACTOR: Final = 1.5
EXTENT_FACTOR: Final = 2.0
ZERO_MARGIN: Final = 0.25
MINIMUM_MARGIN_HU: Final = 300.0
LEVEL_MARGIN: Final = {"ct": 150.0, "mr": 0.75}
"""How far percentiles may leave their range: in Hounsfield units, in standard deviations."""
_AXES: Final = ("left to right", "back to front", "bottom to top")
_NO_MR_HU: Final = -500.0
"""MR has no intensities below this; CT of air has."""
_MOST_PERMUTED: Final = 5
_CLEARLY: Final = (1.5, 1.0)
"""How many times, and by how much, another order of channels must fit better to be spoken of."""
_FLOORS: Final = {"ct": 100.0, "mr": 0.25}
_CORRELATION_FLOOR: Final = 0.1


def unfamiliar(scan: ScanDescription, experience: Experience, task: Task) -> list[str]:
    """Say in what a scan differs from the training cases; empty if in nothing that counts."""
    return [
        *_of_geometry(scan, experience),
        *(
            remark
            for name, modality in task.channels.items()
            for remark in _of_channel(
                scan.channels[name], experience.channels[name], name, modality
            )
        ),
        *_of_order(scan, experience, task),
    ]


def _of_geometry(scan: ScanDescription, experience: Experience) -> list[str]:
    remarks = []
    for axis, seen, found in zip(_AXES, experience.spacing_mm, scan.spacing_mm, strict=True):
        if not seen.holds_within(found, SPACING_FACTOR):
            remarks.append(f"voxels are {found:.2f} mm from {axis}; {_range(seen, '.2f', 'mm')}")
    for axis, seen, found in zip(_AXES, experience.extent_mm, scan.extent_mm, strict=True):
        if not seen.holds_within(found, EXTENT_FACTOR):
            remarks.append(
                f"the image measures {found:.0f} mm from {axis}; {_range(seen, '.0f', 'mm')}"
            )
    return remarks


def _of_channel(
    found: ChannelDescription, seen: ChannelExperience, name: str, modality: str
) -> list[str]:
    if modality == "ct" and not seen.minimum.holds(found.minimum, margin=MINIMUM_MARGIN_HU):
        return [
            f"{name} has no value below {found.minimum:.0f}; {_range(seen.minimum, '.0f', 'HU')}:"
            " is it in Hounsfield units?"
        ]
    if modality == "mr" and found.minimum < _NO_MR_HU <= seen.minimum.lowest:
        return [f"{name} has values down to {found.minimum:.0f}, as CT has and MR has not"]
    remarks = []
    if not seen.zero_share.holds(found.zero_share, margin=ZERO_MARGIN):
        low, high = 100 * seen.zero_share.lowest, 100 * seen.zero_share.highest
        remarks.append(
            f"{100 * found.zero_share:.0f} % of {name} is zero; in training {low:.0f} to"
            f" {high:.0f} %: was the background removed there, or here?"
        )
    margin = LEVEL_MARGIN[modality]
    excess = [
        max(level.lowest - value, value - level.highest) - margin
        for value, level in zip(found.levels, seen.levels, strict=True)
    ]
    worst = excess.index(max(excess))
    if excess[worst] > 0:
        unit = "HU" if modality == "ct" else "standard deviations from the mean"
        remarks.append(
            f"{LEVELS[worst]:g} % of {name} lie below {found.levels[worst]:.1f} {unit};"
            f" {_range(seen.levels[worst], '.1f', '')}"
        )
    return remarks


def _range(seen: Spread, form: str, unit: str) -> str:
    return f"in training {seen.lowest:{form}} to {seen.highest:{form}} {unit}".rstrip()


def _of_order(scan: ScanDescription, experience: Experience, task: Task) -> list[str]:
    names = tuple(task.channels)
    if not 2 <= len(names) <= _MOST_PERMUTED:
        return []
    costs = {
        order: _misfit(scan, experience, task, order)
        for order in permutations(names)
        if all(
            task.channels[one] == task.channels[two] for one, two in zip(names, order, strict=True)
        )
    }
    best = min(costs, key=lambda order: costs[order])
    factor, difference = _CLEARLY
    if costs[names] <= max(factor * costs[best], costs[best] + difference):
        return []
    pairs = [f"{given} looks like {like}" for given, like in zip(best, names, strict=True)]
    moved = [text for text, one, two in zip(pairs, best, names, strict=True) if one != two]
    return [f"the channels seem to be in another order: what is given as {', '.join(moved)}"]


def _misfit(
    scan: ScanDescription, experience: Experience, task: Task, order: tuple[str, ...]
) -> float:
    """Measure how badly the scan's channels, taken in `order`, fit the task's: a mean square."""
    terms = []
    for name, given in zip(task.channels, order, strict=True):
        seen, found = experience.channels[name], scan.channels[given]
        floor = _FLOORS[task.channels[name]]
        terms += [
            _off(value, level, floor)
            for value, level in zip(found.levels, seen.levels, strict=True)
        ]
    names = tuple(task.channels)
    for one, two in combinations(range(len(names)), 2):
        seen_pair = experience.correlations[f"{names[one]} {names[two]}"]
        first, second = order[one], order[two]
        found_pair = scan.correlations.get(
            f"{first} {second}", scan.correlations.get(f"{second} {first}", 0.0)
        )
        terms.append(_off(found_pair, seen_pair, _CORRELATION_FLOOR))
    return sum(terms) / len(terms)


def _off(value: float, seen: Spread, floor: float) -> float:
    width = max((seen.highest - seen.lowest) / 2, floor)
    return ((value - seen.middle) / width) ** 2
