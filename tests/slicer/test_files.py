"""The extension's files: grammar, panel, lists of files, codes."""

import ast
import importlib.util
import re
import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from medseg import task as tasks
from medseg.resources import folder
from tests.slicer.stand_ins import EXTENSION, MODULE, PANEL, panel_names

SCRIPTS = sorted(EXTENSION.rglob("*.py"))
LIBRARY = sorted((MODULE / "MedSegLib").glob("*.py"))
KNOWN_BY_SLICER = {"qMRMLWidget", "qMRMLNodeComboBox", "ctkCollapsibleButton", "ctkPathLineEdit"}


def terminology():
    place = folder("configs").parent / "slicer" / "write_terminology.py"
    spec = importlib.util.spec_from_file_location("write_terminology", place)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.mark.parametrize("version", [(3, 9), (3, 12)], ids=str)
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_it_parses_in_older_and_newer_slicers(path, version):
    ast.parse(path.read_text(encoding="utf-8"), feature_version=version)


def test_it_uses_nothing_that_python_3_9_lacks():
    vermin = Path(sys.executable).with_name("vermin")
    command = [vermin, "-t=3.9-", "--no-tips", "--eval-annotations", EXTENSION]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.name)
def test_the_library_imports_the_standard_library_and_itself_alone(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= set(sys.stdlib_module_names) | {"MedSegLib"}


def test_cmake_names_every_file_and_no_other():
    text = (
        (MODULE / "CMakeLists.txt").read_text(encoding="utf-8").replace("${MODULE_NAME}", "MedSeg")
    )
    named = set(re.findall(r"^  ([\w./-]+\.\w+)$", text, flags=re.MULTILINE))
    there = {
        path.relative_to(MODULE).as_posix()
        for path in MODULE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "CMakeLists.txt"
    }
    assert named == there


def test_the_extension_s_cmake_has_what_slicer_asks_for():
    text = (EXTENSION / "CMakeLists.txt").read_text(encoding="utf-8")
    wanted = ["HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "DEPENDS"]
    assert all(f"set(EXTENSION_{name} " in text for name in wanted)
    assert re.findall(r"add_subdirectory\((.*)\)", text) == ["MedSeg"]
    order = ["find_package(Slicer", "Slicer_USE_FILE", "GENERATE_CONFIG", "EXTENSION_CPACK"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_every_part_of_the_panel_that_is_used_is_in_it_and_named_once():
    tree = ast.parse((MODULE / "MedSeg.py").read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "ui"
    }
    assert len(used) > 10
    assert used <= panel_names()
    names = [widget.get("name") for widget in ElementTree.parse(PANEL).iter("widget")]
    named = [name for name in names if name]
    assert len(named) == len(set(named))


def test_the_panel_says_what_its_foreign_parts_are():
    tree = ElementTree.parse(PANEL)
    classes = {widget.get("class") for widget in tree.iter("widget")}
    foreign = {name for name in classes if not re.match(r"Q[A-Z]", name)}
    told = {element.findtext("class") for element in tree.iter("customwidget")}
    assert foreign == told == KNOWN_BY_SLICER


def test_the_icon_is_a_square_png():
    content = (MODULE / "Resources" / "Icons" / "MedSeg.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (128, 128)


def test_the_terminology_is_what_the_tasks_say():
    script = terminology()
    assert script.FILE.read_text(encoding="utf-8") == script.text(), (
        "run 'python slicer/write_terminology.py'"
    )
    assert script.FILE.name.endswith(".term.json")


def codes_of(entries):
    return [(entry["CodingSchemeDesignator"], entry["CodeValue"]) for entry in entries]


def test_every_code_of_a_task_is_in_the_terminology_once_under_its_category():
    categories = terminology().document()["SegmentationCodes"]["Category"]
    places = dict(zip(codes_of(categories), categories, strict=True))
    assert len(places) == len(categories)
    for name in tasks.names():
        task = tasks.read(name)
        for structure in (*task.labels.values(), *task.regions.values()):
            scheme, value, _ = structure.category.split("^")
            kinds = places[scheme, value]["Type"]
            assert codes_of(kinds).count(tuple(structure.code.split("^")[:2])) == 1


def test_parts_lie_below_their_structure_and_colours_are_bytes():
    anatomy = terminology().document()["SegmentationCodes"]["Category"][0]
    found = {kind["CodeMeaning"]: kind for kind in anatomy["Type"]}
    parts = [part["CodeMeaning"] for part in found["Hippocampus"]["Modifier"]]
    assert parts == ["Anterior", "Posterior"]
    assert found["Hippocampus"]["recommendedDisplayRGBValue"] == [224, 160, 48]  # e0 a0 30
    assert "Modifier" not in found["Liver"]


def test_the_readme_says_how_it_is_installed_and_what_nobody_has_checked():
    text = (EXTENSION / "README.md").read_text(encoding="utf-8")
    assert {"## Installation", "## Not checked inside Slicer"} <= set(text.splitlines())
    assert "research use only" in text
