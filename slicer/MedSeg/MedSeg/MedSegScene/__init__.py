"""The part of the 3D Slicer module that knows the scene, and no widget."""
