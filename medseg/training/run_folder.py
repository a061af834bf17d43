"""The folder of a training run: what was asked for, how it went, and the model.

| File | Holds |
|---|---|
| `run.json` | what was asked for: task, data, fold, network, settings |
| `task.yaml` | the task as it was then |
| `plan.yaml` | the resolved configuration |
| `experience.yaml` | what the training cases are like |
| `versions.json` | versions of Python and the packages used |
| `split.json` | training and held-out cases |
| `metrics.csv` | a row per epoch |
| `curves.png` | the same as a picture |
| `pictures/` | augmented patches; after some epochs a held-out case beside its reference |
| `tensorboard/` | the metrics for TensorBoard, where that is installed |
| `last.ckpt` | what `--resume` goes on from |
| `bundle/` | the model |
| `best/` | the model as it was when its validation was best |
| `cache/` | prepared cases; removed when training ends |
"""

import csv
import io
import json
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from medseg import experience as experiences
from medseg import files
from medseg import recipe as recipes
from medseg import task as tasks
from medseg.data.cases import Case
from medseg.data.folds import BY_FOLDS, Split
from medseg.errors import UsageError
from medseg.experience import Experience
from medseg.recipe import Plan
from medseg.segmentation import FileValues
from medseg.task import Task
from medseg.version import __version__

_PACKAGES: Final = (
    "torch",
    "monai",
    "pytorch-lightning",
    "nibabel",
    "numpy",
    "scipy",
    "safetensors",
)


AUTO: Final = "auto"
"""In place of a task: the one that fits the data."""


@dataclass(frozen=True)
class Request:
    """What a user asked a training run for.

    Attributes:
        task: Name or path of the task; `auto` takes the one that fits the data.
        data: Folder of the data.
        network: Name of the network, or None for the default recipe's.
        fold: Which fifth is held out, 0 to 4.
        epochs: Overrides the recipe's, or None.
        max_seconds: Time limit, or None.
        device: auto, cpu or cuda.
        settings: `key=value` overrides of the recipe.
        recipe: Name of the recipe, or None for the network's.
        init: Where the weights to begin with lie; later ones are loaded over earlier ones.
        split: Name of a published split, `folds`, or None for the usual one.
        numbering: Name of the numbering of the label values, or None for the usual one.
        devices: Processes on each machine that train together, one for each GPU.
        nodes: Machines.
        plan: Path of the plan to train by, or None to make one from a recipe.
        plan_text: What stood in it.
    """

    task: str
    data: str
    network: str | None
    fold: int
    epochs: int | None
    max_seconds: float | None
    device: str
    settings: tuple[str, ...]
    recipe: str | None = None
    init: tuple[str, ...] = ()
    split: str | None = None
    numbering: str | None = None
    devices: int = 1
    nodes: int = 1
    plan: str | None = None
    plan_text: str | None = None


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run folder.

    Attributes:
        path: The folder.
        shared_cache: Where prepared cases lie that other runs use too; else they are the run's own.
    """

    path: Path
    shared_cache: Path | None = None

    @property
    def request(self) -> Path:
        """What was asked for."""
        return self.path / "run.json"

    @property
    def task(self) -> Path:
        """The task as it was when the run began."""
        return self.path / "task.yaml"

    @property
    def plan(self) -> Path:
        """The resolved configuration."""
        return self.path / "plan.yaml"

    @property
    def experience(self) -> Path:
        """What the training cases are like."""
        return self.path / "experience.yaml"

    @property
    def split(self) -> Path:
        """Training and held-out cases."""
        return self.path / "split.json"

    @property
    def metrics(self) -> Path:
        """A row per epoch."""
        return self.path / "metrics.csv"

    @property
    def curves(self) -> Path:
        """The metrics as a picture."""
        return self.path / "curves.png"

    @property
    def pictures(self) -> Path:
        """Augmented patches, and a held-out case after some epochs."""
        return self.path / "pictures"

    @property
    def tensorboard(self) -> Path:
        """The metrics for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def checkpoint(self) -> Path:
        """What `--resume` goes on from."""
        return self.path / "last.ckpt"

    @property
    def bundle(self) -> Path:
        """The model."""
        return self.path / "bundle"

    @property
    def best(self) -> Path:
        """The model of the best validation."""
        return self.path / "best"

    @property
    def cache(self) -> Path:
        """Prepared cases."""
        return self.shared_cache or self.path / "cache"


def start(folder: RunFolder, request: Request, task: Task, *, anew: bool = False) -> None:
    """Make a run folder and note what was asked for.

    Args:
        folder: Where; other files in it are left alone.
        request: What was asked for.
        task: What is segmented.
        anew: Begin again with a run that never reached its first checkpoint.

    Raises:
        UsageError: There is a run in that folder already, or something of that name.
        OutputError: The folder cannot be written.
    """
    if folder.request.exists() and not anew:
        raise UsageError(
            "there is a training run in this folder already",
            where=folder.path,
            remedy="Go on with it by --resume, or choose another folder with --out",
        )
    own = () if folder.shared_cache else (folder.cache,)
    taken = [p for p in (*own, folder.metrics, folder.bundle, folder.best) if p.exists()]
    if taken and not folder.request.exists():
        raise UsageError(
            f"holds something else called {taken[0].name}",
            where=folder.path,
            remedy="Choose another folder with --out",
        )
    files.make_folder(folder.path)
    for older in (*own, folder.best, folder.pictures, folder.tensorboard):
        shutil.rmtree(older, ignore_errors=True)
    folder.metrics.unlink(missing_ok=True)
    files.write_text(folder.request, json.dumps(asdict(request), indent=2) + "\n")
    files.write_text(folder.task, tasks.text(task))
    versions = {name: metadata.version(name) for name in _PACKAGES}
    versions |= {"python": platform.python_version(), "medseg": __version__}
    files.write_text(folder.path / "versions.json", json.dumps(versions, indent=2) + "\n")


def read_request(folder: RunFolder) -> Request:
    """Read what a run was asked for.

    Raises:
        UsageError: There is no run, or its note is damaged.
    """
    try:
        document = json.loads(folder.request.read_text(encoding="utf-8"))
        init = document.get("init") or ()
        lists = {
            "settings": tuple(document["settings"]),
            "init": (init,) if isinstance(init, str) else tuple(init),  # once it was a single one
        }
        return Request(**{**document, **lists})
    except FileNotFoundError as error:
        raise UsageError(
            "there is no training run to resume",
            where=folder.path,
            remedy="Name the folder of the run with --out",
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            "is damaged", where=folder.request, remedy="Start a new run in another folder"
        ) from error


def read_plan(folder: RunFolder) -> Plan:
    """Read what a run trains by.

    Raises:
        OSError: There is none.
        UsageError: It is damaged.
    """
    return recipes.read_plan(folder.plan.read_text(encoding="utf-8"), where=folder.plan)


def read_experience(folder: RunFolder) -> Experience | None:
    """Read what a run noted of its cases; runs of older versions noted nothing."""
    path = folder.experience
    return experiences.parse(path.read_text("utf-8"), where=path) if path.is_file() else None


def append_metrics(path: Path, row: dict[str, float]) -> None:
    """Add a row to the metrics; the first one brings the header."""
    _write_metrics(path, [*read_metrics(path), row])


def keep_metrics(path: Path, *, until_step: int) -> None:
    """Drop the rows of later steps."""
    rows = read_metrics(path)
    kept = [row for row in rows if row["step"] <= until_step]
    if len(kept) < len(rows):
        _write_metrics(path, kept)


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Read all rows of the metrics; none if there is no file yet."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def last_dice(folder: RunFolder) -> float:
    """Return the mean Dice of a run's last validation; NaN if there was none."""
    rows = read_metrics(folder.metrics)
    return rows[-1]["dice_mean"] if rows else float("nan")


def write_split(folder: RunFolder, parts: Split) -> None:
    """Note which cases were trained on and which were held out."""
    document = {
        "name": parts.name,
        "training": [_described(case) for case in parts.training],
        "watched": [_described(case) for case in parts.watched],
        "held_out": [_described(case) for case in parts.held_out],
    }
    files.write_text(folder.split, json.dumps(document, indent=2) + "\n")


def read_split(folder: RunFolder) -> Split:
    """Read which cases a run trains on and holds out.

    Raises:
        UsageError: There is no run in the folder, or its note is damaged.
    """
    if not folder.split.is_file():
        raise UsageError(
            "there is no training run", where=folder.path, remedy="Name the folder of a run"
        )
    try:
        document = json.loads(folder.split.read_text(encoding="utf-8"))
        training, held_out, watched = (
            tuple(_case(entry) for entry in entries)
            for entries in (document["training"], document["held_out"], document.get("watched", []))
        )
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            "is damaged", where=folder.split, remedy="Start a new run in another folder"
        ) from error
    return Split(training, held_out, watched, document.get("name", BY_FOLDS))


def _case(entry: dict[str, Any]) -> Case:
    return Case(
        name=entry["name"],
        images=tuple(Path(path) for path in entry["images"]),
        label=Path(entry["label"]) if entry["label"] else None,
        patient=entry.get("patient"),
        order=tuple(entry["order"]) if entry.get("order") else None,
        values=_values(entry["values"]) if entry.get("values") else None,
    )


def _values(entry: dict[str, Any]) -> FileValues:
    changed = tuple((int(there), int(here)) for there, here in entry["changed"])
    return FileValues(changed, bool(entry["others_are_background"]))


def _described(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "images": [str(path.resolve()) for path in case.images],
        "label": str(case.label.resolve()) if case.label else None,
        "patient": case.patient,
        "order": case.order,
        "values": asdict(case.values) if case.values else None,
    }


def _write_metrics(path: Path, rows: list[dict[str, float]]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in rows)
    files.write_text(path, buffer.getvalue())
