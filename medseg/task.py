"""What is segmented: the channels of a scan, the labels in it, and the regions that are scored.

A task is a YAML file in `configs/tasks/` and knows nothing of networks.
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from medseg import resources
from medseg.errors import UsageError

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$")]
Code = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9]{1,16}\^[A-Za-z0-9.-]{1,16}\^[^\^~|\\\r\n]{1,64}$"),
]
"""A coded concept as 3D Slicer writes it: scheme^value^meaning, such as `SCT^10200004^Liver`.

The lengths are those that DICOM allows; a scheme of one's own begins with 99.
"""

Length = Annotated[float, Field(gt=0)]

Modality = Literal["mr", "ct"]
"""Decides how intensities are normalised: MR per image, CT by the training set's statistics."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Appearance(_Strict):
    """How a structure is shown and coded in exported files.

    Attributes:
        title: What a person reads; the name with blanks if absent.
        colour: `#rrggbb`.
        category: What kind of thing it is.
        code: The structure itself.
        modifier: Laterality or part, such as left or anterior.
        anatomic_region: Where it lies; that of the task if absent.
    """

    title: str | None = None
    colour: Colour
    category: Code = "SCT^123037004^Anatomical Structure"
    code: Code
    modifier: Code | None = None
    anatomic_region: Code | None = None

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue from 0 to 255."""
        red, green, blue = bytes.fromhex(self.colour[1:])
        return (red, green, blue)


class Label(Appearance):
    """A structure that excludes the others; `value` stands for it in label maps."""

    value: Annotated[int, Field(ge=1, le=65535)]


class Region(Appearance):
    """A set of labels that is predicted and scored as one; regions may overlap."""

    labels: Annotated[tuple[Name, ...], Field(min_length=1)]


class Source(_Strict):
    """Where the data of a task can be had."""

    url: str
    folder: str


class Task(_Strict):
    """A segmentation task.

    Attributes:
        name: Its key, and the stem of its YAML file.
        title: One line for people.
        layout: How its data lie on disk; a module of `medseg.data.layouts`.
        source: Where the data come from.
        channels: Name and modality of each channel, in order.
        anatomic_region: The part of the body, as a code; a structure may have one of its own.
        labels: The labels by name.
        regions: The regions by name; if absent, every label is a region of its own.
        painted: For every region, the label that a voxel gets where the region is more likely than
            not; later regions are painted over earlier ones. Absent: a voxel gets the most likely
            label, see `medseg.regions`.
        mirror_axes: World axes along which mirroring changes no label: x (left-right), y, z.
        outside: What is background for certain, so that inference need not look at it: `zero`,
            voxels that are 0 in every channel, as in skull-stripped MR; `air`, voxels of CT below
            -900 HU. Absent: nothing is.
        spacing_mm: Voxel size to work at, along the RAS axes; absent: that of the data.
        tolerance_mm: How far a surface may be off in the surface Dice; absent: 2 mm.
        clinical: The clinical numbers that apply; modules of `medseg.evaluation.clinical`.
    """

    name: Name
    title: str
    layout: Name
    source: Source | None = None
    channels: Annotated[dict[Name, Modality], Field(min_length=1)]
    anatomic_region: Code | None = None
    labels: Annotated[dict[Name, Label], Field(min_length=1)]
    regions: dict[Name, Region] = {}
    painted: dict[Name, Name] | None = None
    mirror_axes: tuple[Literal["x", "y", "z"], ...] = ()
    outside: Literal["zero", "air"] | None = None
    spacing_mm: tuple[Length, Length, Length] | None = None
    tolerance_mm: Length | None = None
    clinical: tuple[Name, ...] = ("volumes",)

    @model_validator(mode="after")
    def _air_has_hounsfield_units(self) -> "Task":
        others = [name for name, modality in self.channels.items() if modality != "ct"]
        if self.outside == "air" and others:
            raise ValueError(f"outside: air is for CT alone, and {', '.join(others)} is MR")
        return self

    @model_validator(mode="after")
    def _labels_are_distinct(self) -> "Task":
        values = [label.value for label in self.labels.values()]
        if len(set(values)) < len(values):
            raise ValueError(f"label values {values} repeat; give each label its own")
        return self

    @model_validator(mode="after")
    def _regions_tell_labels_apart(self) -> "Task":
        for name, region in self.regions.items():
            unknown = set(region.labels) - set(self.labels)
            if unknown:
                raise ValueError(
                    f"region {name} names {sorted(unknown)}; known are {list(self.labels)}"
                )
        members = {label: self.regions_of(label) for label in self.labels}
        for label, regions in members.items():
            twins = [other for other in members if members[other] == regions and other != label]
            if not regions or twins:
                raise ValueError(
                    f"label {label} cannot be told from {twins or 'background'} by the regions;"
                    " add a region that holds one of them alone"
                )
        return self

    @model_validator(mode="after")
    def _painting_is_whole(self) -> "Task":
        painted = self.painted
        if painted is not None and (
            tuple(painted) != self.region_names or not set(painted.values()) <= set(self.labels)
        ):
            raise ValueError(
                f"painted {painted} must name a label for each of the regions, in their order"
            )
        return self

    @property
    def region_names(self) -> tuple[str, ...]:
        """The regions in the order of a network's outputs."""
        return tuple(self.regions or self.labels)

    @property
    def exclusive(self) -> bool:
        """Whether no two regions share a label: softmax with background, else sigmoid.

        Regions that are painted over each other are independent.
        """
        return self.painted is None and all(
            len(self.regions_of(label)) == 1 for label in self.labels
        )

    @property
    def out_channels(self) -> int:
        """Number of a network's outputs: the regions, and background if they are exclusive."""
        return len(self.region_names) + int(self.exclusive)

    def labels_of(self, region: str) -> tuple[str, ...]:
        """Return the labels that `region` is made of."""
        return self.regions[region].labels if self.regions else (region,)

    def regions_of(self, label: str) -> tuple[str, ...]:
        """Return the regions that hold `label`, in order."""
        return tuple(name for name in self.region_names if label in self.labels_of(name))

    @property
    def ordered_labels(self) -> list[tuple[str, Label]]:
        """The labels with their names, by value."""
        return sorted(self.labels.items(), key=lambda item: item[1].value)

    def region_code_of(self, structure: Appearance) -> str | None:
        """Return the code of the part of the body that a label or region of this task lies in."""
        return structure.anatomic_region or self.anatomic_region

    def title_of(self, structure: str) -> str:
        """Return what a person reads for a label or region."""
        given = {**self.regions, **self.labels}[structure].title
        return given or structure.replace("_", " ").capitalize()


def parse(text: str, *, where: Path | str) -> Task:
    """Make a task of YAML text.

    Raises:
        UsageError: The text is not YAML, or a field is missing, unknown or wrong.
    """
    try:
        return Task.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise UsageError(
            f"is not a task: {_first_line(error)}", where=where, remedy="Correct this field"
        ) from error


def names() -> list[str]:
    """Return the names of the tasks that come with medseg."""
    return resources.names("configs/tasks", ".yaml")


def read(name_or_path: str | Path) -> Task:
    """Read a task by its name, or from a YAML file of the user's own.

    Raises:
        UsageError: There is no such task, or its file is wrong.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        path = resources.folder("configs/tasks") / f"{name_or_path}.yaml"
    if not path.is_file():
        raise UsageError(
            f"there is no task {str(name_or_path)!r}",
            remedy=f"Choose one of {', '.join(names())}, or give the path of your own YAML file",
        )
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError("is not text in UTF-8", where=path, remedy="Save it as UTF-8") from error
    return parse(content, where=path)


def text(task: Task) -> str:
    """Return `task` as YAML with every field; `parse` is its inverse."""
    document = task.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        return f"{place}: {first['msg']}"
    return str(error).splitlines()[0]
