"""`medseg networks`: what can be trained, and what it costs."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.console import err, out
from medseg.errors import UsageError

if TYPE_CHECKING:
    from medseg.costs import Subject, Work
    from medseg.shapes import Shape


def networks(
    names: Annotated[list[str] | None, typer.Argument(help="Which; else all.")] = None,
    patch: Annotated[str, typer.Option(help="Voxels of a patch.")] = "96x96x96",
    channels: Annotated[int, typer.Option(min=1, help="Channels of the image.")] = 1,
    outputs: Annotated[int, typer.Option(min=1, help="Channels of the result.")] = 3,
    size: Annotated[str | None, typer.Option(help="Only this size.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also take the time and memory on this machine.")
    ] = False,
) -> None:
    """List the networks: sizes, parameters, multiply-adds, sources."""
    from rich.table import Table

    from medseg import networks as offered
    from medseg import registry
    from medseg.costs import Subject

    voxels = _voxels(patch)
    chosen = _chosen(names or registry.names(offered), size)
    table = Table("network", "size", "parameters", "GMACs", caption=f"on a patch of {patch} voxels")
    if measure:
        table.add_column("training step")
        table.add_column("prediction")
    for name, sizes in chosen.items():
        for one in sizes:
            subject = Subject(name, one, channels, outputs, voxels)
            table.add_row(name, one, *_counted(subject), *(_measured(subject) if measure else ()))
    out.print(table)
    for name in chosen:
        out.print(f"{name}: {_source(name)}", highlight=False, markup=False, soft_wrap=True)


def _voxels(text: str) -> "Shape":
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise UsageError(f"--patch {text!r} is no size", remedy="Write it as 96x96x96")
    i, j, k = map(int, match.groups())
    return (i, j, k)


def _chosen(names: list[str], only: str | None) -> dict[str, list[str]]:
    """Return the sizes of each network, of all that have the size `only` if that is given."""
    from medseg import networks as offered

    try:
        sizes = {name: offered.sizes(name) for name in names}
    except ValueError as error:
        raise UsageError(str(error), remedy="'medseg networks' lists them") from error
    if only is None:
        return sizes
    having = {name: [only] for name, found in sizes.items() if only in found}
    if not having:
        choices = ", ".join(dict.fromkeys(one for found in sizes.values() for one in found))
        raise UsageError(
            f"of {', '.join(sizes)} none has a size {only!r}", remedy=f"Choose from {choices}"
        )
    return having


def _counted(subject: "Subject") -> tuple[str, str]:
    from medseg.costs import count

    try:
        counted = count(subject)
    except ModuleNotFoundError as error:
        return f"needs {error.name}", ""
    return f"{counted.parameters / 1e6:.2f} M", f"{counted.multiply_adds / 1e9:.1f}"


def _measured(subject: "Subject") -> list[str]:
    from medseg.costs import Work

    kinds: tuple[Work, ...] = ("training step", "prediction")
    return [_cell(subject, work) for work in kinds]


def _cell(subject: "Subject", work: "Work") -> str:
    from medseg.costs import measure

    err.print(f"Measuring a {work} of {subject.name} {subject.size}", highlight=False)
    try:
        measured = measure(subject, work)
    except MemoryError:
        return "out of memory"
    except ModuleNotFoundError as error:
        return f"needs {error.name}"
    return f"{measured.seconds:.3g} s, {measured.peak_bytes / 2**30:.2f} GiB"


def _source(name: str) -> str:
    from medseg import networks as offered

    return offered.source(name)
