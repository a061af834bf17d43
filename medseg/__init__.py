"""3D medical image segmentation, from a folder of scans to 3D Slicer. For research use only.

From Python: `medseg.predict(scan, model)` for one scan, `medseg.Predictor(model)` for many.
"""

from typing import TYPE_CHECKING, Any

from medseg.version import __version__

if TYPE_CHECKING:
    from medseg.inference.interface import Predictor, predict
    from medseg.inference.options import Options

__all__ = ["Options", "Predictor", "__version__", "predict"]


def __getattr__(name: str) -> Any:
    """Import torch and its company only when a prediction is asked for."""
    if name in ("Options", "Predictor", "predict"):
        from medseg.inference import interface

        return getattr(interface, name)
    raise AttributeError(f"module 'medseg' has no attribute {name!r}")
