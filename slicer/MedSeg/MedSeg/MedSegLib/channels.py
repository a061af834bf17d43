"""Which volume of the scene is which channel of a model."""

import re
from collections.abc import Mapping, Sequence
from typing import Optional

from MedSegLib.models import Channel

_WORD = re.compile(r"[A-Za-z0-9]+")
_MOST_WORDS = 3  # such as `T1 post contrast`


def guess(
    channels: Sequence[Channel], volumes: Mapping[str, str], active: Optional[str] = None
) -> dict[str, Optional[str]]:
    """Return the volume that each channel is, as far as the volumes' names tell.

    Args:
        channels: The roles.
        volumes: Identifier and name of each volume in the scene.
        active: The volume that is shown.

    A model of one channel takes the active volume, or the only one. Of several channels, one is
    assigned only if exactly one volume's name tells it; the user chooses the others.
    """
    if len(channels) == 1:
        only = next(iter(volumes), None) if len(volumes) == 1 else None
        return {channels[0].name: active if active in volumes else only}
    told = {volume: _told_by(name, channels) for volume, name in volumes.items()}
    guessed: dict[str, Optional[str]] = {}
    for channel in channels:
        fitting = [volume for volume, names in told.items() if names == {channel.name}]
        guessed[channel.name] = fitting[0] if len(fitting) == 1 else None
    return guessed


def fault(assigned: Mapping[str, Optional[str]]) -> Optional[str]:
    """Return why a model cannot run on these volumes, for people; None if it can."""
    missing = [name for name, volume in assigned.items() if volume is None]
    if missing:
        return f"Choose a volume for {', '.join(missing)}."
    first: dict[str, str] = {}
    for name, volume in assigned.items():
        other = first.setdefault(str(volume), name)
        if other != name:
            return f"{other} and {name} are the same volume. Choose another one for one of them."
    return None


def _told_by(volume_name: str, channels: Sequence[Channel]) -> set[str]:
    """Return the channels that words of a volume's name stand for; `T1 post` is one, not two."""
    known = {_plain(channel.name): channel.name for channel in channels}
    known.update({word: channel.name for channel in channels for word in channel.spellings})
    words = [_plain(word) for word in _WORD.findall(volume_name)]
    told = set()
    place = 0
    while place < len(words):
        lengths = range(min(_MOST_WORDS, len(words) - place), 0, -1)
        fitting = [n for n in lengths if "".join(words[place : place + n]) in known]
        length = fitting[0] if fitting else 1
        told.add(known.get("".join(words[place : place + length]), ""))
        place += length
    return told - {""}


def _plain(word: str) -> str:
    return "".join(_WORD.findall(word)).lower()
