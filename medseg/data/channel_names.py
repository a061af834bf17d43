"""What the channels of a scan are called in file names and data sets, and which of them is meant.

Source: the file names of BraTS 2020 and 2023, and of nnU-Net's `channel_names`.
"""

import re
from typing import Final

SPELLINGS: Final = {
    "t1": {"t1", "t1n", "t1w", "t1pre", "t1native"},
    "t1ce": {"t1ce", "t1c", "t1gd", "t1post", "t1contrast", "t1wce", "t1cw"},
    "t2": {"t2", "t2w"},
    "flair": {"flair", "t2f", "t2flair", "fla"},
    "ct": {"ct"},
    "adc": {"adc"},
    "dwi": {"dwi"},
}
_SEPARATORS: Final = re.compile(r"[-_. ]")


def meaning(name: str) -> str:
    """Return the usual spelling of a channel's name, or `name` in lower case if none is known."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    for usual, spellings in SPELLINGS.items():
        if plain in spellings:
            return usual
    return plain


def spellings(name: str) -> list[str]:
    """Return what a channel is also called, in lower case without separators, sorted."""
    usual = meaning(name)
    return sorted(SPELLINGS.get(usual, {usual}))


def of_channel(name: str, channels: tuple[str, ...]) -> str | None:
    """Return the one of a task's `channels` that `name` stands for, or None."""
    for channel in channels:
        if name == channel or meaning(name) == meaning(channel):
            return channel
    return None


def split_stem(stem: str) -> tuple[str, str]:
    """Split the last word of a file's stem off: `case_t1ce` is `case` and `t1ce`.

    Words end at a hyphen, an underscore, a dot or a blank; a stem of one word has no beginning.
    """
    ends = [match.start() for match in _SEPARATORS.finditer(stem)]
    return (stem[: ends[-1]], stem[ends[-1] + 1 :]) if ends else ("", stem)


def told_by(stem: str, channels: tuple[str, ...]) -> str | None:
    """Return the channel that the last word of a file's stem names, known or of the task.

    None if the word names no channel.
    """
    word = split_stem(stem)[1]
    of_task = of_channel(word, channels)
    if of_task is not None:
        return of_task
    usual = meaning(word)
    return usual if usual in SPELLINGS else None
