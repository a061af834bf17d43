"""What the 3D Slicer module does, without Slicer: none of these files imports slicer, qt or vtk."""
