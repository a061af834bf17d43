"""How a network is trained and applied: a recipe, and the plan it becomes on given data.

A `Recipe` is a YAML file in `configs/recipes/` and holds for any task; a setting may be `auto`.
A `Plan` is a recipe with nothing left open: what training resolved from the data and the memory,
and what a bundle keeps for inference.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medseg import resources
from medseg.errors import UsageError

Auto = Literal["auto"]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0.0)]
Length = Annotated[float, Field(gt=0.0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Model = TypeVar("Model", bound=BaseModel)
Patch = tuple[Positive, Positive, Positive]
Spacing = tuple[Length, Length, Length]
"""As in `medseg.shapes`, and checked."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkChoice(_Strict):
    """A network by name, and what its class is built with beside the channels."""

    name: str = "swin_unetr"
    options: dict[str, Any] = {}


class Augmentation(_Strict):
    """How often and how far a training patch is changed.

    Attributes:
        rotate_degrees: Largest angle about each axis.
        scale: Largest relative change of size.
        geometry_probability: How often a patch is rotated and scaled.
        slices_across: The axis across thick slices: a patch is turned and scaled within its slices
            alone; `none`: it has no thick ones; `auto` follows from the patch.
        mirror_probability: How often it is mirrored, for each axis the task allows.
        noise: Largest standard deviation of added Gaussian noise, in standard deviations.
        gamma: Largest exponent of a gamma curve; its reciprocal is the smallest.
        brightness: Largest relative change of intensity.
        blur_voxels: Largest sigma of a Gaussian blur.
        intensity_probability: How often each intensity change is made.
    """

    rotate_degrees: Amount = 20.0
    scale: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    geometry_probability: Probability = 0.3
    slices_across: Literal["x", "y", "z", "none"] | Auto = "auto"
    mirror_probability: Probability = 0.5
    noise: Amount = 0.15
    gamma: Annotated[float, Field(ge=1.0)] = 1.4
    brightness: Amount = 0.25
    blur_voxels: Amount = 0.8
    intensity_probability: Probability = 0.2


class Training(_Strict):
    """Optimisation.

    Attributes:
        epochs: Passes over the training cases.
        steps_per_epoch: Optimisation steps in a pass; `auto`: one patch of every case, within
            25 to 250 steps.
        batch: Patches in a step; `auto` follows from the memory.
        learning_rate: At its peak.
        warm_up: Part of the training in which the learning rate rises to its peak.
        decay: How it falls from there to zero at the end.
        optimizer: `adamw`, or `sgd`.
        momentum: Of `sgd`.
        nesterov: Whether the momentum of `sgd` is Nesterov's.
        weight_decay: Of the optimizer.
        gradient_clip: Largest norm of all gradients together.
        average: Decay of the exponential moving average of the weights; 0 switches it off.
        deep_supervision: Whether coarser logits count too, where the network's paper has it so.
        foreground: Part of the patches that is centred on a labelled voxel.
        validation_cases: Held-out cases that are predicted after an epoch.
        patience: Epochs without a better validation after which training ends; null: never.
        precision: `bfloat16` computes in mixed precision; `auto`: on GPUs.
        seed: Of everything random.
    """

    epochs: Positive = 300
    steps_per_epoch: Positive | Auto = "auto"
    batch: Positive | Auto = "auto"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    warm_up: Probability = 0.05
    decay: Literal["cosine", "poly"] = "cosine"
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    nesterov: bool = True
    weight_decay: Amount = 1e-2
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.995
    deep_supervision: bool = True
    foreground: Probability = 0.5
    validation_cases: Positive = 8
    patience: Positive | None = None
    precision: Literal["float32", "bfloat16"] | Auto = "auto"
    seed: Annotated[int, Field(ge=0)] = 0
    augmentation: Augmentation = Augmentation()


class Inference(_Strict):
    """The sliding window.

    Attributes:
        overlap: Part of a patch that its neighbour covers too.
        batch: Patches computed at once.
        blend: How overlapping patches are averaged; `nnunet` is for models of nnU-Net.
    """

    overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    batch: Positive = 1
    blend: Literal["gaussian", "nnunet"] = "gaussian"


class Recipe(_Strict):
    """A way of training, for any task.

    Attributes:
        network: Which network.
        patch: Voxels along each axis; `auto` follows from the data and the memory.
        spacing_mm: Voxel size to work at; `auto`: the task's, or the median of the data.
        training: Optimisation.
        inference: The sliding window.
    """

    network: NetworkChoice = NetworkChoice()
    patch: Patch | Auto = "auto"
    spacing_mm: Spacing | Auto = "auto"
    training: Training = Training()
    inference: Inference = Inference()


class Window(_Strict):
    """Intensity statistics of a CT channel's labelled voxels over the training set, in HU."""

    lower: float
    upper: float
    mean: float
    deviation: Annotated[float, Field(gt=0)]


class Plan(_Strict):
    """A recipe with nothing left open.

    Attributes:
        network: Which network, with every option that training chose.
        patch: Voxels along each axis.
        spacing_mm: Voxel size to work at, along the RAS axes.
        windows: For each CT channel, how its intensities are normalised.
        channels: Names of the channels it was made for; none if it is not known.
        batch: Patches in an optimisation step.
        steps_per_epoch: Optimisation steps in an epoch.
        precision: What training computes in.
        training: Optimisation, as in the recipe, but for `batch`, `steps_per_epoch` and
            `precision`, which are fields of the plan.
        inference: The sliding window, as in the recipe.
    """

    network: NetworkChoice
    patch: Patch
    spacing_mm: Spacing
    windows: dict[str, Window] = {}
    channels: tuple[str, ...] = ()
    batch: Positive
    steps_per_epoch: Positive
    precision: Literal["float32", "bfloat16"]
    training: Training
    inference: Inference


DECIDED: Final = ("batch", "steps_per_epoch", "precision")
"""Settings of `training` that a plan has as fields of its own."""

SHARED: Final = "default"
"""The recipe for all networks."""

_SHOWN: Final = {"Recipe": "configs/recipes/default.yaml", "Plan": "what 'medseg plan' writes"}
_UNKNOWN: Final = "extra_forbidden"
_UNION_MEMBERS: Final = ("constrained-", "tuple[", "literal[")


def names() -> list[str]:
    """Return the names of the recipes that come with medseg."""
    return resources.names("configs/recipes", ".yaml")


def read(name: str, settings: tuple[str, ...] = ()) -> Recipe:
    """Read the recipe `name`, changed by `settings` of the form `training.epochs=5`.

    Raises:
        UsageError: There is no such recipe, or a setting names no field or has a wrong value.
    """
    path = resources.folder("configs/recipes") / f"{name}.yaml"
    if not path.is_file():
        raise UsageError(
            f"there is no recipe {name!r}", remedy=f"Choose one of {', '.join(names())}"
        )
    document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    for setting in settings:
        _apply(document, setting)
    return _validated(Recipe, document, where=f"recipe {name}")


def name_for(network: str | None) -> str:
    """Name the recipe of a network: its paper's where that is known, else the one for all.

    No network, hence the default one, has the recipe for all: those of papers count on days of a
    GPU, or on pre-trained weights.
    """
    return network if network in names() else SHARED


def for_network(
    network: str | None, settings: tuple[str, ...] = (), *, name: str | None = None
) -> Recipe:
    """Read the recipe `name`, else that of `network`, with `network` in place of its own.

    Raises:
        UsageError: There is no recipe `name`, or a setting names no field or has a wrong value.
    """
    chosen = () if network is None else (f"network.name={network}",)
    return read(name or name_for(network), (*chosen, *settings))


def read_plan(text: str, *, where: Path | str) -> Plan:
    """Make a plan of YAML text.

    Raises:
        UsageError: The text is not YAML, or a field is missing, unknown or wrong.
    """
    return _validated(Plan, _parsed(text, where=where), where=where)


def changed_plan(text: str, settings: tuple[str, ...], *, where: Path | str) -> Plan:
    """Make a plan of YAML text that a user wrote, changed by settings such as `batch=4`.

    Raises:
        UsageError: The text is not YAML, or a field is missing, unknown, wrong, or said twice.
    """
    document = _parsed(text, where=where)
    if isinstance(document, dict):
        for setting in settings:
            _apply(document, setting)
    plan = _validated(Plan, document, where=where)
    for name in DECIDED:
        said, above = getattr(plan.training, name), getattr(plan, name)
        if said not in ("auto", above):
            raise UsageError(
                f"training.{name} is {said}, and {name} is {above}",
                where=where,
                remedy=f"Leave out training.{name}; in a plan, {name} stands by itself",
            )
    return plan.model_copy(
        update={"training": plan.training.model_copy(update=dict.fromkeys(DECIDED, "auto"))}
    )


def plan_text(plan: Plan, reasons: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return `plan` as YAML with every field, so that defaults of later versions change nothing.

    Args:
        plan: What is written.
        reasons: For some fields, a remark that stands above them.
    """
    document = plan.model_dump(mode="json")
    for name in DECIDED:
        if document["training"][name] == "auto":
            del document["training"][name]
    return "".join(_remark(reasons.get(key, "")) + _yaml({key: document[key]}) for key in document)


def _remark(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, 98))


def _yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes a list in one line, as people write sizes."""


_Dumper.add_representer(
    list,
    lambda dumper, items: dumper.represent_sequence(
        "tag:yaml.org,2002:seq", items, flow_style=True
    ),
)


def _apply(document: dict[str, Any], setting: str) -> None:
    key, separator, value = setting.partition("=")
    if not separator:
        raise UsageError(
            f"the setting {setting!r} has no '='",
            remedy="Write it as --set training.learning_rate=0.0003",
        )
    *path, last = key.strip().split(".")
    level = document
    for part in path:
        level = level.setdefault(part, {})
        if not isinstance(level, dict):
            raise UsageError(
                f"the setting {key!r} names nothing: {part} is a value",
                remedy="See configs/recipes/default.yaml for what can be set",
            )
    level[last] = _value(value, setting)


def _value(text: str, setting: str) -> Any:
    """Read a value as YAML, and numbers such as 1e-3 too, which YAML takes for text."""
    try:
        return float(text) if "e" in text.lower() else _parsed(text, where=setting)
    except ValueError:
        return _parsed(text, where=setting)


def _parsed(text: str, *, where: Path | str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(
            f"is not YAML: {str(error).splitlines()[0]}",
            where=where,
            remedy="Close every bracket and quotation mark",
        ) from error


def _validated(kind: type[Model], document: Any, *, where: Path | str) -> Model:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = _most_telling(error)
        # what pydantic calls the members of a union says nothing to a user
        parts = [str(part) for part in first["loc"] if not str(part).startswith(_UNION_MEMBERS)]
        known = _choices(kind, parts) if first["type"] == _UNKNOWN else ""
        # where a field is missing, what was given is all that surrounds it
        within = first["type"] == "missing" and isinstance(first["input"], dict)
        got = "" if within else f", got {first['input']!r}"
        raise UsageError(
            f"{'.'.join(parts) or 'the whole'}: {first['msg']}{got}{known}",
            where=where,
            remedy=f"Correct that setting; {_SHOWN[kind.__name__]} shows them all",
        ) from error


def _most_telling(error: ValidationError) -> Any:
    """Return what is wrong: an unknown field first, since its true name is missing then."""
    found = error.errors()
    return next((each for each in found if each["type"] == _UNKNOWN), found[0])


def _choices(kind: type[BaseModel], place: Sequence[str]) -> str:
    """Name the fields that there are where there is one that is not."""
    for part in place[:-1]:
        inner = kind.model_fields[part].annotation if part in kind.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ""
        kind = inner
    return f"; choose from {', '.join(kind.model_fields)}"
