"""NiiVue, the viewer inside a page: its script is read from the installed package `ipyniivue`.

That package carries NiiVue as a module of its own, percent-encoded inside `static/widget.js`, for
the pages that the widget itself can save. NiiVue is licensed under BSD-2-Clause; a page that holds
it holds its licence too.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Final
from urllib.parse import unquote

_PACKAGE: Final = "ipyniivue"
_SCRIPT: Final = "static/widget.js"
_ENCODED: Final = re.compile(r'"((?:[\w.!~*\'()-]|%[0-9A-F]{2}){200000,})"', re.ASCII)


@dataclass(frozen=True)
class NiiVue:
    """A viewer that can be put into a page.

    Attributes:
        version: Of the package it was taken from.
        module: A JavaScript module that exports `Niivue`, `NVImage` and `NVMesh`.
        licence: Its terms, which go wherever it goes.
    """

    version: str
    module: str
    licence: str


@cache
def installed() -> NiiVue | None:
    """Return the viewer of the installed package; None without, or if it is built otherwise."""
    try:
        package = metadata.distribution(_PACKAGE)
    except metadata.PackageNotFoundError:
        return None
    script, licence = _text(package, _SCRIPT), _text(package, "LICENSE")
    module = _module(script) if script else None
    return NiiVue(package.version, module, licence) if module and licence else None


def _text(package: metadata.Distribution, ending: str) -> str | None:
    for file in package.files or ():
        if str(file).endswith(ending):
            return file.read_text(encoding="utf-8")
    return None


def _module(script: str) -> str | None:
    """Return the module that is encoded in `script`."""
    for found in _ENCODED.finditer(script):
        module = unquote(found[1])
        exported = module[module.rfind("export{") :]
        if all(re.search(rf"\b{name}\b", exported) for name in ("Niivue", "NVImage", "NVMesh")):
            return module
    return None
