"""Checks of options that networks share; each error names the option and what it may be."""

from collections.abc import Iterable, Sequence
from typing import get_args


def check_choice(name: str, value: object, choices: object) -> None:
    """Refuse a value of the option `name` that is none of a Literal's.

    Raises:
        ValueError: It is none of them.
    """
    if value not in get_args(choices):
        raise ValueError(f"{name} {value!r} is none of {', '.join(get_args(choices))}")


def check_counts(**options: object) -> None:
    """Refuse options that are not whole numbers above 0.

    Raises:
        ValueError: One is not.
    """
    for name, count in options.items():
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be a whole number above 0, got {count!r}")


def check_probabilities(**options: float) -> None:
    """Refuse probabilities of leaving something out that leave nothing.

    Raises:
        ValueError: One is below 0, or not below 1.
    """
    for name, probability in options.items():
        if not 0 <= probability < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {probability}")


def check_odd(name: str, lengths: Iterable[int]) -> None:
    """Refuse a kernel without a middle.

    Raises:
        ValueError: It is even along some axis.
    """
    widths = tuple(lengths)
    if not all(width % 2 for width in widths):
        raise ValueError(f"{name} must be odd along each axis, got {widths}")


def check_stages(stages: int, *, each: str = "stage", **options: object) -> None:
    """Refuse options that do not have one entry for each stage.

    Args:
        stages: Entries that there must be.
        each: What an entry is for.
        **options: The options by name.

    Raises:
        ValueError: One has fewer or more.
    """
    for name, entries in options.items():
        count = len(entries) if isinstance(entries, Sequence) else "one for all"
        if count != stages:
            raise ValueError(f"{name} need {stages} entries, one for each {each}, got {count}")


def check_heads(features: int, heads: Sequence[int], name: str = "heads") -> None:
    """Refuse heads that do not divide the features of their stage, which double with each.

    Raises:
        ValueError: Some do not, or there are none.
    """
    for stage, count in enumerate(heads):
        check_counts(**{name: count})
        if features * 2**stage % count:
            raise ValueError(
                f"{count} {name} do not divide the {features * 2**stage} features of stage "
                f"{stage + 1}; choose features and {name} that do, such as 24 and (3, 6, 12, 24)"
            )
