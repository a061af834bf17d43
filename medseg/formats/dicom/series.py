"""Which of several DICOM series is meant: chosen by UID or description, never guessed."""

from medseg.errors import ImageError
from medseg.formats.dicom.headers import Slice


def choose(slices: list[Slice], wanted: str | None, *, where: str) -> list[Slice]:
    """Return the slices of one series.

    Args:
        slices: All slices that were found; at least one.
        wanted: A UID, a description, or a part of one that only one series has; None if there is
            one series only.
        where: The folder or file, for messages.

    Raises:
        ImageError: There are several and none was named, or `wanted` fits none or several; the
            message lists what there is.
    """
    series = _by_uid(slices)
    if wanted is None and len(series) == 1:
        return slices
    meant = list(series) if wanted is None else fitting(slices, wanted)
    if len(meant) == 1:
        return series[meant[0]]
    listed = "\n".join(f"  {_line(uid, parts)}" for uid, parts in series.items())
    said = "" if wanted is None else f", of which {len(meant) or 'none'} fit {wanted!r}"
    raise ImageError(
        f"holds {len(series)} DICOM series{said}:\n{listed}\nNone of them was chosen",
        where=where,
        remedy="Name one by its description or UID with --series",
    )


def fitting(slices: list[Slice], wanted: str) -> list[str]:
    """Return the UIDs of the series `wanted` names: by UID, by description, or by a part of it."""
    series = _by_uid(slices)
    titles = {uid: _description(parts).casefold() for uid, parts in series.items()}
    sought = wanted.strip().casefold()
    exact = [uid for uid, title in titles.items() if wanted.strip() == uid or sought == title]
    return exact or [uid for uid, title in titles.items() if sought and sought in title]


def _by_uid(slices: list[Slice]) -> dict[str, list[Slice]]:
    series: dict[str, list[Slice]] = {}
    for part in slices:
        series.setdefault(part.series, []).append(part)
    return series


def _description(parts: list[Slice]) -> str:
    return parts[0].fields.get("description", "")


def _line(uid: str, parts: list[Slice]) -> str:
    title = _description(parts) or "without a description"
    modality = parts[0].fields.get("modality", "?")
    columns, rows = parts[0].shape
    return f"{title}: {modality}, {len(parts)} slices of {columns}x{rows}, {uid or 'no UID'}"
