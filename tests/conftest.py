"""What the tests share: random numbers, tasks, real data."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import hypothesis
import jaxtyping
import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor

from medseg import bundle as bundles
from medseg import networks
from medseg import recipe as recipes
from medseg import task as tasks
from medseg.bundle import Bundle
from medseg.recipe import NetworkChoice, Plan
from medseg.task import Task

# The same examples in every run, however slow the machine is.
hypothesis.settings.register_profile("medseg", deadline=None, derandomize=True)
hypothesis.settings.load_profile("medseg")

_OPTIONS = {"features": 12, "depths": [1, 1, 1, 1], "window": 4}


@pytest.fixture
def unchecked_types() -> Iterator[None]:
    """Types go unchecked, as they do for users: the code itself must refuse what is wrong."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture(scope="session")
def phantom_task() -> Task:
    """Three labels in three nested regions."""
    return tasks.read("phantom")


@pytest.fixture(scope="session")
def hippocampus_task() -> Task:
    """Two labels, each a region of its own."""
    return tasks.read("hippocampus")


@pytest.fixture(scope="session")
def small_settings() -> tuple[str, ...]:
    """Settings of a training run that takes seconds."""
    return (
        "network.options.features=12",
        "network.options.depths=[1,1,1,1]",
        "patch=[16,16,16]",
        "training.steps_per_epoch=2",
        "training.batch=1",
        "training.validation_cases=1",
        "training.average=0.5",
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of models of its own, so that the user's is never touched, and no shipped models."""
    from medseg import model_list

    folder = tmp_path / "home"
    monkeypatch.setattr(model_list, "shipped_folder", lambda: tmp_path / "shipped")
    monkeypatch.setenv("MEDSEG_HOME", str(folder))
    monkeypatch.delenv("MEDSEG_DATA", raising=False)
    return folder


@pytest.fixture(scope="session")
def untrained(
    hippocampus_task: Task, make_plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """A bundle for the hippocampus task whose weights are random."""
    torch.manual_seed(0)
    choice = NetworkChoice(name="swin_unetr", options=_OPTIONS)
    plan = make_plan(network=choice, patch=(16, 16, 16))
    network = networks.build("swin_unetr", in_channels=1, out_channels=3, **_OPTIONS)
    folder = tmp_path_factory.mktemp("models") / "untrained"
    return bundles.write(folder, hippocampus_task, plan, network.state_dict())


@pytest.fixture
def scan(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A small scan on an oblique grid, in a folder with blanks and umlauts."""
    from scipy.spatial.transform import Rotation

    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [17, -8, 5], degrees=True).as_matrix()
    affine[:3, 3] = [-20, 13.5, 7]
    folder = tmp_path / "Größe der Scans"
    folder.mkdir()
    path = folder / "scan.nii.gz"
    voxels = rng.normal(100, 20, size=(18, 20, 17)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans; tests that need it are skipped without."""
    folder = os.environ.get("MEDSEG_TEST_DATA")
    if not folder:
        pytest.skip("MEDSEG_TEST_DATA does not name a folder of real scans")
    return Path(folder)


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., Plan]:
    """Plans for small images; any field can be given."""

    def made(**changes: object) -> Plan:
        fields = {
            "network": {"name": "swin_unetr", "options": {"features": 12}},
            "patch": (8, 8, 8),
            "spacing_mm": (1.0, 1.0, 1.0),
            "batch": 2,
            "steps_per_epoch": 25,
            "precision": "float32",
            "training": recipes.Training(),
            "inference": recipes.Inference(),
        }
        return Plan.model_validate(fields | changes)

    return made


@pytest.fixture(scope="session")
def put() -> Callable[..., Path]:
    """Writes a NIfTI file and returns its path; voxels of 1 mm unless an affine is given."""

    def written(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine)
        image.to_filename(path)
        return path

    return written


@pytest.hookimpl(trylast=True)  # behind the coverage table
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests ran, and how many of them on real data."""
    done = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    real = sum("real_data" in report.keywords for report in done)
    terminalreporter.write_line(f"{len(done)} tests ran, {real} of them on real data")


@pytest.fixture(scope="session")
def swin_of_images() -> Callable[..., dict[str, Tensor]]:
    """Weights of a Swin transformer that classifies images."""
    return _swin_of_images


def _swin_of_images(
    features: int, *, depths: Sequence[int], heads: Sequence[int], patch: int
) -> dict[str, Tensor]:
    f = features
    shapes = {
        "patch_embed.proj.weight": (f, 3, patch, patch),
        "patch_embed.proj.bias": (f,),
        "patch_embed.norm.weight": (f,),
        "patch_embed.norm.bias": (f,),
        "norm.weight": (8 * f,),
        "norm.bias": (8 * f,),
        "head.weight": (10, 8 * f),
    }
    for stage, (depth, count) in enumerate(zip(depths, heads, strict=True)):
        n = f * 2**stage
        for block in range(depth):
            at = f"layers.{stage}.blocks.{block}"
            shapes |= {
                f"{at}.norm1.weight": (n,), f"{at}.norm1.bias": (n,),
                f"{at}.attn.relative_position_bias_table": (169, count),
                f"{at}.attn.relative_position_index": (49, 49),
                f"{at}.attn.qkv.weight": (3 * n, n), f"{at}.attn.qkv.bias": (3 * n,),
                f"{at}.attn.proj.weight": (n, n), f"{at}.attn.proj.bias": (n,),
                f"{at}.norm2.weight": (n,), f"{at}.norm2.bias": (n,),
                f"{at}.mlp.fc1.weight": (4 * n, n), f"{at}.mlp.fc1.bias": (4 * n,),
                f"{at}.mlp.fc2.weight": (n, 4 * n), f"{at}.mlp.fc2.bias": (n,),
            }  # fmt: skip
            if block % 2:
                shapes[f"{at}.attn_mask"] = (64, 49, 49)
        if stage < 3:
            at = f"layers.{stage}.downsample"
            shapes |= {
                f"{at}.norm.weight": (4 * n,),
                f"{at}.norm.bias": (4 * n,),
                f"{at}.reduction.weight": (2 * n, 4 * n),
            }
    torch.manual_seed(0)
    return {name: torch.randn(shape) for name, shape in shapes.items()}
