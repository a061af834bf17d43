"""`--t1 FILE` for `--channel t1=FILE`: which channels there are, only the model knows."""

import difflib
import re
from pathlib import Path
from typing import Any, Final

from typer.core import TyperCommand

from medseg.errors import UsageError

_OPTION: Final = re.compile(r"--(?P<name>[A-Za-z][A-Za-z0-9_-]*)(=(?P<value>.*))?", re.DOTALL)


class ChannelCommand(TyperCommand):
    """A command that takes an option it does not know for a channel of the model's task."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Rewrite unknown options before they are parsed."""
        known = {option for parameter in self.get_params(ctx) for option in parameter.opts}
        return super().parse_args(ctx, rewritten(args, known))


def rewritten(arguments: list[str], known: set[str]) -> list[str]:
    """Return the arguments with `--NAME FILE` as `--channel NAME=FILE` where `NAME` is unknown.

    What is given neither a file nor the name of an image is left as it is, to be refused, and so
    is a name that looks like a slip of the pen for a known option.
    """
    result: list[str] = []
    left = iter(arguments)
    for argument in left:
        match = _OPTION.fullmatch(argument)
        if match is None or f"--{match['name']}" in known or _is_slip(argument, known):
            result.append(argument)
            continue
        value = match["value"] if match["value"] is not None else next(left, None)
        if value is not None and _names_an_image(value):
            result += ["--channel", f"{match['name']}={value}"]
        else:
            result += (
                [argument] if match["value"] is not None or value is None else [argument, value]
            )
    return result


def parsed(given: list[str]) -> dict[str, Path]:
    """Return the files of channels written as `NAME=FILE`.

    Raises:
        UsageError: One is not of that form, or a name is there twice.
    """
    paths: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path) or name in paths:
            said = "was given twice" if name in paths else "is not of the form NAME=FILE"
            raise UsageError(
                f"--channel {text} {said}", remedy="Name every channel once, as t1=FILE"
            )
        paths[name] = Path(path)
    return paths


def _names_an_image(value: str) -> bool:
    from medseg import formats

    path = Path(value)
    return path.exists() or formats.suffix_of(path) is not None


def _is_slip(argument: str, known: set[str]) -> bool:
    name = argument.partition("=")[0]
    return bool(difflib.get_close_matches(name, known, n=1, cutoff=0.8))
