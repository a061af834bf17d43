"""3D medical image segmentation, from a folder of scans to 3D Slicer. For research use only."""

__version__ = "0.1.0"
