"""Label maps to region masks and back: `decode(encode(x)) == x`.

A voxel's label decides which regions it is in: its *pattern*. Masks or logits that come from a
network may show a pattern that no label has, such as an inner part outside the whole. The rule:
every voxel gets the label (or background) whose pattern agrees best, where the agreement of a
pattern is the sum of the logits of its regions. For independent sigmoid outputs this is the
most likely allowed pattern; for masks, whose logits count as +1 and -1, it is the one with the
fewest regions changed. Of equals, the pattern with more regions wins, so that a structure is kept.

A task may have another rule: regions that are painted over each other, as nnU-Net does.
"""

import numpy as np
from jaxtyping import Float32

from medseg.segmentation import label_map_dtype
from medseg.shapes import LabelMap, Mask, Masks, Scores
from medseg.task import Task


def mask_of(label_map: LabelMap, task: Task, region: str) -> Mask:
    """Return the mask of one region."""
    values = [task.labels[label].value for label in task.labels_of(region)]
    return np.isin(label_map, values)


def encode(label_map: LabelMap, task: Task) -> Masks:
    """Return the mask of every region, in the order of `task.region_names`."""
    return np.stack([mask_of(label_map, task, region) for region in task.region_names])


def patterns(task: Task) -> tuple[tuple[int, ...], Float32[np.ndarray, "candidates outputs"]]:
    """Return the candidate values, and which outputs of a network each of them switches on.

    Candidates are ordered by the number of regions, most first; background (0) is last. For
    exclusive regions the outputs start with background.
    """
    held = {label.value: task.regions_of(name) for name, label in task.labels.items()}
    ordered = sorted(held, key=lambda value: -len(held[value]))
    rows = [[float(region in held[value]) for region in task.region_names] for value in ordered]
    rows.append([0.0] * len(task.region_names))
    table = np.array(rows, dtype=np.float32)
    if task.exclusive:
        background = np.zeros((len(table), 1), dtype=np.float32)
        background[-1] = 1.0
        table = np.concatenate([background, table], axis=1)
    return (*ordered, 0), table


def decode(masks: Masks, task: Task) -> LabelMap:
    """Return the label map that agrees best with `masks`; see the rule above."""
    logits = np.where(masks, np.float32(1), np.float32(-1))
    if task.exclusive:
        background = np.where(masks.any(axis=0, keepdims=True), np.float32(-1), np.float32(1))
        logits = np.concatenate([background, logits])
    return decode_logits(logits, task)


def entropy(logits: Scores, task: Task) -> Float32[np.ndarray, "i j k"]:
    """Return how undecided a network is at every voxel: 0 is certain, 1 knows nothing.

    The entropy of the probabilities, divided by the largest there can be. Overlapping regions count
    as independent of each other.
    """
    if task.exclusive:
        shifted = logits - logits.max(axis=0)
        weights = np.exp(shifted)
        total = weights.sum(axis=0)
        found = np.log(total) - (weights * shifted).sum(axis=0) / total
        return (found / np.float32(np.log(len(logits)))).astype(np.float32, copy=False)
    sizes = np.abs(logits)  # p and 1 - p have one entropy
    odds = np.exp(-sizes)
    each = np.log1p(odds) + sizes * odds / (1 + odds)
    return (each.mean(axis=0) / np.float32(np.log(2))).astype(np.float32, copy=False)


def decode_logits(logits: Scores, task: Task) -> LabelMap:
    """Return the most likely label map given a network's logits; see the rules above."""
    if task.painted is not None:
        return _painted(logits, task)
    values, table = patterns(task)
    best = _agreement(logits, table[0]).copy()
    place = np.zeros(best.shape, np.min_scalar_type(len(values)))
    for number in range(1, len(values)):  # the best so far: no scores of all candidates at once
        agreement = _agreement(logits, table[number])
        better = (agreement > best).astype(place.dtype)
        np.maximum(best, agreement, out=best)
        better *= place.dtype.type(number)
        np.maximum(place, better, out=place)  # numbers rise, so that the larger is the later
    return np.array(values, dtype=label_map_dtype(task))[place]


def _agreement(
    logits: Scores, pattern: Float32[np.ndarray, " outputs"]
) -> Float32[np.ndarray, "i j k"]:
    switched_on = np.flatnonzero(pattern)
    if len(switched_on) == 1:
        return logits[switched_on[0]]
    return logits[switched_on].sum(axis=0)


def _painted(logits: Scores, task: Task) -> LabelMap:
    result = np.zeros(logits.shape[1:], dtype=label_map_dtype(task))
    for region, label in zip(logits, (task.painted or {}).values(), strict=True):
        result[region > 0] = task.labels[label].value
    return result
