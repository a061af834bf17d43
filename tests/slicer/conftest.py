"""What the tests of the 3D Slicer module share: Slicer's stand-ins, and the module in them."""

import importlib.util
import sys

import pytest

from tests.slicer import stand_ins


@pytest.fixture
def slicer(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    slicer = stand_ins.Slicer(temporary)
    for name, stub in stand_ins.stub_modules(slicer).items():
        monkeypatch.setitem(sys.modules, name, stub)
    monkeypatch.delitem(sys.modules, "MedSegScene.logic", raising=False)  # it holds the last ones
    return slicer


@pytest.fixture
def module(slicer):
    """MedSeg.py as Slicer loads it."""
    assert slicer
    spec = importlib.util.spec_from_file_location("MedSeg", stand_ins.MODULE / "MedSeg.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
