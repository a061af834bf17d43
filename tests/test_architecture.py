"""Rules of the code base that no linter knows."""

from pathlib import Path

import pytest

import medseg

PACKAGE = Path(medseg.__file__).parent
TESTS = Path(__file__).parent
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

MOST_LINES = 400
VAGUE = {"utils", "util", "helpers", "helper", "core", "common", "misc", "tools"}


def has_a_test(module):
    # a package, `python -m` and a verb of the command line are tested through what they offer
    return module.name in ("__init__.py", "__main__.py") or module.parts[0] == "cli"


@pytest.mark.parametrize("module", [m for m in MODULES if not has_a_test(m)], ids=str)
def test_every_module_has_a_test_of_its_own(module):
    mirrored = TESTS / module.parent / f"test_{module.name}"
    if module.parts[0] == "shapes.py":
        pytest.skip("names of shapes are tested wherever they are used")
    assert mirrored.is_file(), f"write tests/{mirrored.relative_to(TESTS)}"


@pytest.mark.parametrize("path", [*MODULES], ids=str)
def test_no_module_is_long(path):
    lines = len((PACKAGE / path).read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{path} has {lines} lines; split it"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_has_a_name_that_says_nothing(path):
    assert not VAGUE & {part.removesuffix(".py") for part in path.parts}


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: path.name)
def test_no_test_file_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
