"""The version of medseg; a module of its own, so that nothing imports the package for it."""

from typing import Final

__version__: Final = "0.1.0"
