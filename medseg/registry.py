"""The folder is the registry: the modules of a package are the keys it offers."""

import functools
import importlib
import pkgutil
from types import ModuleType


def names(package: ModuleType) -> list[str]:
    """Return the keys `package` offers, sorted."""
    return list(_names(package))


def load(package: ModuleType, name: str) -> ModuleType:
    """Import the module of `package` that `name` names.

    Raises:
        ValueError: `package` has no such module; the message lists those it has.
    """
    if name not in names(package):
        raise ValueError(f"{package.__name__} has no {name!r}; choose from {names(package)}")
    return importlib.import_module(f"{package.__name__}.{name}")


@functools.cache  # the folder is on disk, and does not change while the program runs
def _names(package: ModuleType) -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(package.__path__)))
