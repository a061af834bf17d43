import pytest
from MedSegLib import channels
from MedSegLib.models import Channel

from medseg.data import channel_names

BRATS = tuple(
    Channel(name, tuple(channel_names.spellings(name))) for name in ("t1", "t1ce", "t2", "flair")
)
CT = (Channel("ct", ("ct",)),)


def guessed(*names):
    volumes = {f"v{number}": name for number, name in enumerate(names)}
    return [volumes.get(found) for found in channels.guess(BRATS, volumes).values()]


@pytest.mark.parametrize(
    "names",
    [
        ("case_t1", "case_t1ce", "case_t2", "case_flair"),
        ("BraTS-GLI-0001-t1n", "BraTS-GLI-0001-t1c", "BraTS-GLI-0001-t2w", "BraTS-GLI-0001-t2f"),
        ("3: AX T1 pre", "9: AX T1 post", "4: T2 TSE", "5: T2-FLAIR dark fluid"),
        ("T1w", "T1_Gd", "T2w", "FLAIR"),
    ],
)
def test_names_tell_the_channels(names):
    assert guessed(*names) == list(names)
    assert guessed(*reversed(names)) == list(names)


def test_what_two_names_tell_is_left_to_the_user():
    assert guessed("a_t1", "b_t1", "t2", "Flair") == [None, None, "t2", "Flair"]
    assert guessed("t1 and flair", "t2") == [None, None, "t2", None]


def test_a_single_channel_takes_the_volume_that_is_shown_or_the_only_one():
    volumes = {"a": "first", "b": "second"}
    assert channels.guess(CT, volumes, active="b") == {"ct": "b"}
    assert channels.guess(CT, volumes) == {"ct": None}
    assert channels.guess(CT, {"a": "first"}, active="gone") == {"ct": "a"}
    assert channels.guess(CT, {}) == {"ct": None}


def test_each_channel_needs_a_volume_of_its_own():
    assert channels.fault({"t1": "a", "t2": "b"}) is None
    assert channels.fault({"t1": "a", "t2": None}) == "Choose a volume for t2."
    assert "t1 and flair are the same volume" in channels.fault({"t1": "a", "flair": "a"})
