"""`medseg plan`: what a training run would do, to read and to change."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.console import err, out
from medseg.cli.train import (
    DataOption,
    Device,
    Display,
    NetworkOption,
    NumberingOption,
    RecipeOption,
    SplitOption,
    TaskOption,
    network_of,
    of_what,
    quoted,
    summary,
)
from medseg.errors import UsageError

if TYPE_CHECKING:
    from medseg.training.plan import Planned
    from medseg.training.run_folder import Request


def plan(
    task: TaskOption = None,
    data: DataOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write it; else it is printed.")
    ] = None,
    network: NetworkOption = None,
    recipe: RecipeOption = None,
    init: Annotated[
        list[Path] | None,
        typer.Option(help="Weights that training will begin with; public ones fix some options."),
    ] = None,
    fold: Annotated[int, typer.Option(help="Which part of the split is held out.")] = 0,
    split: SplitOption = None,
    numbering: NumberingOption = None,
    device: Annotated[Device, typer.Option(help="Where training will compute.")] = "auto",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the recipe: training.learning_rate=0.0003."),
    ] = None,
) -> None:
    """Write what 'medseg train' would do with the data, and why, without training.

    Voxel size, patch, batch and the options of the network follow from the training cases and from
    this machine's memory. 'medseg train --plan FILE' trains by what was written or changed.
    """
    from medseg import files
    from medseg import recipe as recipes
    from medseg.training.run_folder import Request

    if output is not None and output.exists():
        raise UsageError("is there already", where=output, remedy="Name another file with -o")
    named, place, _ = of_what(task, data)
    request = Request(
        task=named,
        data=str(place.resolve()),
        network=network,
        fold=fold,
        epochs=None,
        max_seconds=None,
        device=device,
        settings=tuple(settings or ()),
        recipe=recipe,
        init=tuple(str(given.resolve()) for given in init or ()),
        split=split,
        numbering=numbering,
    )
    network_of(request)
    planned = _planned(request)
    text = recipes.plan_text(planned.plan, planned.reasons)
    if output is None:
        out.print(text, highlight=False, markup=False, soft_wrap=True, end="")
        return
    files.write_text(output, text)
    err.print(summary(planned.plan), highlight=False, markup=False)
    begun = "".join(f" --init {quoted(given)}" for given in init or ())
    told = f"{output}: read it, change it, then train by it with --plan {quoted(output)}{begun}"
    out.print(told, highlight=False, markup=False)


def _planned(request: "Request") -> "Planned":
    from medseg.training import fit, planning

    ground = planning.ground(request)
    with Display() as display:
        data = fit.measured(ground, display)
        planned = planning.planned(request, ground, data, processes=1)
        for said in planned.concerns:
            display.on_concern(said)
        return planned
