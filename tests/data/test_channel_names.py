import pytest

from medseg.data.channel_names import meaning, of_channel, spellings, split_stem, told_by

BRATS = ("t1", "t1ce", "t2", "flair")


@pytest.mark.parametrize(
    ("name", "usual"),
    [("T1c", "t1ce"), ("t1n", "t1"), ("T2-FLAIR", "flair"), ("t2f", "flair"), ("x ray", "xray")],
)
def test_spellings_of_one_channel_mean_the_same(name, usual):
    assert meaning(name) == usual


def test_every_spelling_of_a_channel_means_it():
    assert {"t1c", "t1gd", "t1post"} <= set(spellings("T1c"))
    assert {meaning(word) for word in spellings("t1n")} == {"t1"}
    assert spellings("X-ray") == ["xray"]


def test_a_task_may_spell_its_channels_as_it_likes():
    assert of_channel("t1ce", ("t1n", "t1c")) == "t1c"
    assert of_channel("first", ("first", "second")) == "first"
    assert of_channel("t2", ("first", "second")) is None


@pytest.mark.parametrize(
    ("stem", "parts"),
    [
        ("BraTS20_Training_001_t1ce", ("BraTS20_Training_001", "t1ce")),
        ("BraTS-GLI-00000-000-t2f", ("BraTS-GLI-00000-000", "t2f")),
        ("scan", ("", "scan")),
    ],
)
def test_the_last_word_is_split_off(stem, parts):
    assert split_stem(stem) == parts


@pytest.mark.parametrize(
    ("stem", "told"), [("a_T1Gd", "t1ce"), ("flair", "flair"), ("a_second", None), ("a_ct", "ct")]
)
def test_a_file_s_name_tells_its_channel(stem, told):
    assert told_by(stem, BRATS) == told


def test_a_channel_that_only_the_task_knows_is_told_too():
    assert told_by("a_second", ("first", "second")) == "second"
