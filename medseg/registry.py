"""The folder is the registry: the modules of a package are the keys it offers."""

import importlib
import pkgutil
from types import ModuleType


def names(package: ModuleType) -> list[str]:
    """Return the keys `package` offers, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def load(package: ModuleType, name: str) -> ModuleType:
    """Import the module of `package` that `name` names.

    Raises:
        ValueError: `package` has no such module; the message lists those it has.
    """
    if name not in names(package):
        raise ValueError(f"{package.__name__} has no {name!r}; choose from {names(package)}")
    return importlib.import_module(f"{package.__name__}.{name}")
