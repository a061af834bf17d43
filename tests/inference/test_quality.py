import numpy as np
import pytest
from scipy.ndimage import grey_dilation

from medseg import task as tasks
from medseg.data import layouts
from medseg.data.cases import read_image, read_labels
from medseg.data.description import LabelDescription, describe_labels, describe_scan, gathered
from medseg.experience import ChannelExperience, Experience, LabelExperience, Spread
from medseg.inference.quality import assess

TASK = tasks.read("hippocampus")


def around(low, high):
    return Spread(lowest=low, middle=(low + high) / 2, highest=high)


def experience(*, present=1.0, touching=0.0):
    """Labels of 1 to 2 mL in one part or two, at -0.5 to 0.5 deviations from the mean."""
    label = LabelExperience(
        present=present,
        touching=touching,
        volume_ml=around(1, 2),
        components=around(1, 2),
        intensities={"t1": around(-0.5, 0.5)},
    )
    side = (around(1, 1),) * 3
    channel = ChannelExperience(
        minimum=around(0, 0), zero_share=around(0, 0), levels=(around(0, 1),) * 7
    )
    return Experience(
        cases=20,
        spacing_mm=side,
        extent_mm=side,
        channels={"t1": channel},
        labels={"anterior": label, "posterior": label},
    )


def judged(seen=None, *, entropy=0.1, warnings=(), **change):
    """Judge a scan whose anterior label is sound but for `change`."""
    sound = {"volume_ml": 1.5, "components": 1, "touches": (), "intensities": {"t1": 0.0}}
    labels = {
        "anterior": LabelDescription(**{**sound, **change}),
        "posterior": LabelDescription(**sound),
    }
    unsure = {"anterior": entropy, "posterior": 0.1}
    return assess(labels, unsure, seen, TASK, warnings=list(warnings))


def test_what_is_like_training_passes_with_its_numbers():
    found = judged(experience())
    assert (found.verdict, found.reasons) == ("pass", ())
    anterior = found.labels["anterior"]
    assert (anterior.volume_ml, anterior.components, anterior.mean_entropy) == (1.5, 1, 0.1)
    assert anterior.outside_training == ()


ABSENT = {"volume_ml": 0.0, "components": 0, "intensities": {}}


@pytest.mark.parametrize(
    ("seen", "change", "verdict", "reason"),
    [
        (experience(), ABSENT, "fail", "anterior was not found; it is in 100 % of"),
        (experience(present=0.6), ABSENT, "pass", None),
        (experience(), {"volume_ml": 8.1}, "fail", "anterior has 8.1 mL; in training 1 to 2 mL"),
        (experience(), {"volume_ml": 2.6}, "check", "anterior has 2.6 mL; in training 1 to 2 mL"),
        (experience(), {"volume_ml": 2.4}, "pass", None),
        (experience(), {"intensities": {"t1": 1.3}}, "check", "has a mean of 1.3 in t1"),
        (experience(), {"components": 6}, "check", "is in 6 parts; in training at most 2"),
        (experience(), {"components": 5}, "pass", None),
        (experience(), {"touches": ("left", "inferior")}, "check", "border (left and inferior)"),
        (experience(touching=0.3), {"touches": ("left",)}, "pass", None),
        (None, {"touches": ("left",)}, "check", "it may be cut off"),
        (experience(), {"entropy": 0.6}, "check", "is uncertain: mean entropy 0.60 of 1"),
        (experience(), {"warnings": ["the scan is odd"]}, "check", "the scan is odd"),
        (None, {"volume_ml": 900.0}, "pass", None),
    ],
)
def test_what_is_unlike_training_is_told(seen, change, verdict, reason):
    found = judged(seen, **change)
    assert found.verdict == verdict
    if reason is None:
        assert found.reasons == ()
    else:
        (told,) = found.reasons
        assert reason in told


def test_what_lies_outside_training_is_listed_by_label():
    found = judged(experience(), volume_ml=9.0, intensities={"t1": -3.0})
    assert found.labels["anterior"].outside_training == ("volume", "intensity")
    assert found.verdict == "fail"
    assert len(found.reasons) == 2


def test_nothing_found_without_experience_is_to_be_checked():
    nothing = LabelDescription(0.0, 0, (), {})
    labels = dict.fromkeys(("anterior", "posterior"), nothing)
    found = assess(labels, {}, None, TASK, warnings=[])
    assert (found.verdict, found.reasons) == ("check", ("nothing was found",))
    assert found.labels["anterior"].mean_entropy is None


@pytest.mark.real_data
@pytest.mark.slow
def test_experts_outlines_of_held_out_cases_pass_and_damaged_ones_do_not(real_data):
    cases = layouts.cases(real_data / "hippocampus/Task04_Hippocampus", TASK)
    read = []
    for case in cases:
        volume = read_image(case, TASK)
        read.append((volume, read_labels(case, TASK, volume.grid)))
    described = [describe_labels(volume, labels, TASK) for volume, labels in read]
    scans = [describe_scan(volume, TASK) for volume, _ in read]
    seen = gathered(scans[42:], described[42:])
    certain = {"anterior": 0.1, "posterior": 0.1}

    def verdicts(damage=None):
        found = []
        for volume, labels in read[:42]:
            label_map = labels if damage is None else damage(labels)
            measured = describe_labels(volume, label_map, TASK)
            found.append(assess(measured, certain, seen, TASK, warnings=[]).verdict)
        return found

    def shifted(labels):
        return np.roll(labels, 12, axis=1)

    def without_anterior(labels):
        return np.where(labels == 1, 0, labels).astype(np.uint8)

    def scattered(labels):
        noise = np.random.default_rng(0).random(labels.shape) < 0.002
        return np.where(noise, 1, labels).astype(np.uint8)

    def bloated(labels):
        return np.maximum(labels, grey_dilation(labels, size=7)).astype(np.uint8)

    assert verdicts().count("pass") >= 40
    assert set(verdicts(without_anterior)) == {"fail"}
    assert verdicts(scattered).count("pass") <= 2
    assert verdicts(bloated).count("pass") <= 2
    assert verdicts(shifted).count("pass") <= 21
