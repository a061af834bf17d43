"""Rules of the code base that no linter knows."""

import subprocess
import sys
from pathlib import Path

import pytest

import medseg

PACKAGE = Path(medseg.__file__).parent
TESTS = Path(__file__).parent
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

MOST_LINES = 400
VAGUE = {"utils", "util", "helpers", "helper", "core", "common", "misc", "tools"}


def is_tested_elsewhere(module):
    # a package, `python -m` and a verb of the command line are tested through what they offer
    # shapes.py holds names alone
    return module.name in ("__init__.py", "__main__.py", "shapes.py") or module.parts[0] == "cli"


@pytest.mark.parametrize("module", [m for m in MODULES if not is_tested_elsewhere(m)], ids=str)
def test_every_module_has_a_test_of_its_own(module):
    mirrored = TESTS / module.parent / f"test_{module.name}"
    assert mirrored.is_file(), f"write tests/{mirrored.relative_to(TESTS)}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_is_long(path):
    lines = len((PACKAGE / path).read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{path} has {lines} lines; split it"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_has_a_name_that_says_nothing(path):
    assert not VAGUE & {part.removesuffix(".py") for part in path.parts}


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: path.name)
def test_no_test_file_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


LIGHT = [
    "task",
    "regions",
    "formats.nifti",
    "evaluation",
    "evaluation.evaluate",
    "evaluation.score_files",
    "evaluation.pictures",
    "evaluation.clinical.cardiac_function",
    "evaluation.comparison_files",
    "export.slicer",
    "export.nifti",
    "export.mrb",
    "export.stl",
    "export.dicom_seg",
]
HEAVY = {
    *("torch", "monai", "SimpleITK", "itk", "matplotlib", "lightning", "nnunetv2"),
    *("highdicom", "skimage"),
}


def test_results_are_read_scored_and_exported_without_heavy_packages():
    imports = "; ".join(f"import medseg.{name}" for name in LIGHT)
    command = f"import sys; {imports}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", command], cwd=PACKAGE.parent, capture_output=True, check=True
    )
    assert not HEAVY & set(result.stdout.decode().split())
