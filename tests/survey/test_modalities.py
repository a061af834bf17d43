"""Channels that look exchanged."""

import numpy as np
import pytest

from medseg import task as tasks
from medseg.survey.modalities import exchanged

BRATS = tasks.read("brats")
LESION = {"t1": -1.0, "t1ce": 0.5, "t2": 1.0, "flair": 2.0}


@pytest.fixture
def brain(made, intensities):
    """A case whose lesion each sequence shows as it should, or as told."""

    def make(name, **contrasts):
        told = {**LESION, **contrasts}
        return made(name, intensities={k: intensities(v) for k, v in told.items()})

    return make


def test_lesions_as_each_sequence_shows_them_are_in_order(brain):
    assert exchanged([brain(str(n)) for n in range(3)], BRATS) == []


def test_a_lesion_brighter_in_t1_than_in_flair_or_t2_is_found(brain):
    cases = [brain("a"), brain("b", t1=2.0, flair=-1.0), brain("c", t1=1.0, t2=-1.0)]
    found = exchanged(cases, BRATS)
    assert [(one.case, one.cause) for one in found] == [
        ("b", "flair and t1 look exchanged"),
        ("c", "t2 and t1 look exchanged"),
    ]


def test_a_case_without_a_lesion_is_not_suspected(brain):
    assert exchanged([brain("a", t1=0.0, t1ce=0.0, t2=0.0, flair=0.0)], BRATS) == []


@pytest.fixture
def pairs(made, intensities, phantom_task):
    """Eight cases of a task without lesions whose two channels differ in shape."""
    rng = np.random.default_rng(4)

    def channel(middle, skewness):
        noise = 0.05 * rng.standard_normal(2)
        return intensities(percentiles=(0, middle + noise[0], 100), skewness=skewness + noise[1])

    cases = []
    for n in range(8):
        channels = [channel(30, 1.0), channel(70, -1.0)]
        if n == 5:
            channels.reverse()
        cases.append(
            made(f"case{n}", intensities=dict(zip(("first", "second"), channels, strict=True)))
        )
    healthy = {
        name: label.model_copy(update={"category": "SCT^123037004^Anatomical Structure"})
        for name, label in phantom_task.labels.items()
    }
    return cases, phantom_task.model_copy(update={"labels": healthy})


def test_a_case_unlike_the_others_until_two_channels_are_exchanged_is_found(pairs):
    (found,) = exchanged(*pairs)
    assert (found.case, found.cause) == ("case5", "first and second look exchanged")


def test_four_cases_are_too_few_to_compare(pairs):
    cases, task = pairs
    assert exchanged(cases[3:7], task) == []


def test_chance_alone_accuses_nobody(made, intensities, pairs):
    rng = np.random.default_rng(5)
    cases = [
        made(
            str(n),
            intensities={
                name: intensities(rng.normal(), (0, 50 + 10 * rng.normal(), 100), rng.normal())
                for name in ("first", "second")
            },
        )
        for n in range(40)
    ]
    assert len(exchanged(cases, pairs[1])) <= 2
