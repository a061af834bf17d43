"""Pages of HTML: one file each, which asks nothing of a network and runs no script but its own.

Everything that is put into a page is escaped by the templates. On top of that a policy in the page
allows the browser no address at all, and no script whose hash it does not name.
"""

import base64
import gzip
import hashlib
import math
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from medseg import files
from medseg.report.niivue import NiiVue

_FOLDER: Final = "templates"
_ACRONYMS: Final = ("hd", "assd", "masd", "iou", "nsd")
_UNITS: Final = {"mm": "mm", "ml": "mL", "percent": "%"}


def write(path: Path, template: str, *, scripts: tuple[str, ...], **content: Any) -> None:
    """Write a page.

    Args:
        path: Where to.
        template: Its name in `templates`, without ending.
        scripts: Names of the scripts in `templates` that it runs, without ending.
        content: What the template shows.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    sources = [_text(f"{name}.js") for name in scripts]
    page = (
        _environment()
        .get_template(f"{template}.html")
        .render(policy=_policy(sources), scripts=sources, style=_text("style.css"), **content)
    )
    files.write_text(path, page)


@cache
def packed(viewer: NiiVue) -> str:
    """Return the viewer's module compressed, in base64."""
    return base64.b64encode(gzip.compress(viewer.module.encode(), 9, mtime=0)).decode()


def short(value: float | None, digits: int = 3) -> str:
    """Return a number with so many significant digits; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return "-"
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits - 1}e}"
    places = digits if not value else max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:.{min(places, digits)}f}"


def heading(column: str) -> str:
    """Return what a person reads for a column of scores: `hd95_mm` becomes `HD95, mm`."""
    ending = next((end for end in _UNITS if column.endswith(f"_{end}")), None)
    words = column.removesuffix(f"_{ending}").replace("_", " ")
    shown = words.upper() if words.startswith(_ACRONYMS) else words.capitalize()
    return shown if ending is None else f"{shown}, {_UNITS[ending]}"


def _policy(sources: list[str]) -> str:
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in sources]
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed} blob:; style-src 'unsafe-inline';"
        " img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _text(name: str) -> str:
    return (resources.files("medseg.report") / _FOLDER / name).read_text(encoding="utf-8")


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("medseg.report", _FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    environment.filters["short"] = short
    environment.filters["heading"] = heading
    return environment
