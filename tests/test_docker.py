"""The container's recipe: linted, and true to the repository. No image is built here."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement

from medseg.resources import folder

ROOT = folder("configs").parent
DOCKERFILE = ROOT / "docker" / "Dockerfile"
TARGETS = ("cpu", "cuda")


def instructions():
    """Return the instructions of each stage as (name, arguments), comments left out."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    stages = {}
    for line in text.replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            stages[rest.split(" AS ")[1]] = current = []
        if name:
            current.append((name, " ".join(rest.split())))
    return stages


STAGES = instructions()


def of(stage, name):
    return [rest for instruction, rest in STAGES[stage] if instruction == name]


def constraint(package):
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return re.search(rf"^{package}==(.+)$", text, flags=re.MULTILINE)[1]


@pytest.mark.skipif(sys.platform != "linux", reason="its wheels are for Linux")
def test_the_linter_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    command = [hadolint, "--failure-threshold", "style", DOCKERFILE]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_file_that_is_copied_is_there_and_sent_to_the_builder():
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in sent
    copied = [
        source
        for stage in STAGES
        for rest in of(stage, "COPY")
        for source in rest.split()[:-1]
        if not source.startswith("--")
    ]
    assert {"pyproject.toml", "medseg", "configs", "data_cards"} <= set(copied)
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert sorted(f"!{source}" for source in copied) == sorted(s for s in sent if s[0] == "!")


def test_the_wheel_builds_from_what_is_copied_alone_and_is_whole(tmp_path):
    for rest in of("wheel", "COPY"):
        *sources, target = rest.split()
        for source in sources:
            path = ROOT / source
            if path.is_dir():
                shutil.copytree(path, tmp_path / target, ignore=shutil.ignore_patterns("*.pyc"))
            else:
                shutil.copy(path, tmp_path / target)
    (wheel,) = WheelBuilder(str(tmp_path)).build(directory=str(tmp_path / "wheels"))
    packed = set(zipfile.ZipFile(wheel).namelist())
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "medseg").rglob("*.py")}
    shipped = {
        f"medseg/{path.relative_to(ROOT).as_posix()}"
        for name in ("configs", "data_cards", "models")
        for path in (ROOT / name).rglob("*")
        if path.is_file()
    }
    assert (code | shipped) - packed == set()


def test_stages_are_taken_from_stages_that_are_there():
    for rest in (rest for stage in STAGES for rest in of(stage, "RUN")):
        for source in re.findall(r"from=(\w+)", rest):
            assert source in STAGES
    assert [of(target, "FROM")[0].split()[0] for target in TARGETS] == ["base", "base"]


@pytest.mark.parametrize("target", TARGETS)
def test_it_runs_medseg_without_rights_on_mounted_folders(target):
    order = [name for name, _ in STAGES[target]]
    assert order.index("USER") > max(n for n, name in enumerate(order) if name == "RUN")
    (user,) = of(target, "USER")
    made_user = re.search(r"useradd --uid (\d+) --create-home (\w+)", of("base", "RUN")[0])
    assert made_user[1] == user != "0"
    assert [json.loads(rest) for rest in of(target, "ENTRYPOINT")] == [["medseg"]]
    assert json.loads(of(target, "VOLUME")[0]) == ["/models", "/data"]
    made = re.search(r"install --directory --owner=(\w+) --group=\w+ (.+)$", of("base", "RUN")[0])
    assert (made[1], made[2].split()) == (made_user[2], ["/models", "/data"])
    variables = dict(word.split("=", 1) for word in of("base", "ENV")[0].split())
    assert (variables["MEDSEG_HOME"], variables["MEDSEG_DATA"]) == ("/models", "/data")


def test_python_is_one_that_medseg_takes_and_the_versions_are_tested_with():
    version = re.match(r"python:(\d+\.\d+)-", of("base", "FROM")[0])[1]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"on Python {version} " in constraints.splitlines()[0]


def test_torch_and_torchvision_belong_together():
    needed = [Requirement(line) for line in metadata.requires("torchvision")]
    (torch,) = [each for each in needed if each.name == "torch"]
    assert torch.specifier.contains(constraint("torch"))
    # torchvision 0.15 came with torch 2.0, and both have counted on together
    minor = int(constraint("torch").split(".")[1])
    assert int(constraint("torchvision").split(".")[1]) == minor + 15


def test_the_cpu_image_takes_both_from_the_index_of_processors_and_not_anew():
    first, second = of("cpu", "RUN")
    assert first.endswith("torch torchvision")
    assert "--no-deps --index-url https://download.pytorch.org/whl/cpu" in first
    assert "--constraint /build/constraints.txt" in first
    assert "--constraint /build/constraints.txt /wheels/*.whl" in second


def test_the_document_shows_the_targets():
    text = (ROOT / "docs" / "docker.md").read_text(encoding="utf-8")
    shown = re.findall(r"--target (\w+)", text)
    assert set(shown) == set(TARGETS)
    assert yaml.safe_load("[/models, /data]") == re.findall(r"-v \S+:(/\w+)", text)[:2]
