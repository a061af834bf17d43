"""`medseg models`: the models on this machine, and bundles as files to hand on."""

import json
from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.console import err, out

app = typer.Typer(
    help="List, show, install, export, verify and remove models.", no_args_is_help=True
)


@app.command("list")
def list_(
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: channels, labels and folders, as JSON.")
    ] = False,
) -> None:
    """List the models that were trained or installed on this machine, or came with medseg."""
    from medseg import model_list

    found = model_list.models()
    if as_json:
        out.print(json.dumps(model_list.document(found), ensure_ascii=False), soft_wrap=True)
        return
    if not found:
        err.print("No model was trained or installed on this machine.")
    for model in found:
        out.print(f"{model.name}  {model.kind}  {model.bundle.task.title}  {model.bundle.folder}")


@app.command()
def show(
    model: Annotated[Path, typer.Argument(help="Run folder, bundle, or name of a model.")],
) -> None:
    """Show what a model is: its card, else its task, network and channels."""
    from medseg import model_list

    bundle = model_list.choose_bundle(model)
    task, network = bundle.task, bundle.plan.network.name
    channels = ", ".join(task.channels)
    out.print(f"{model_list.name_of(bundle)}  {task.title}; {network}; channels: {channels}")
    if bundle.card is None:
        err.print("It has no model card: ask who made it for data, licence, scores and limits.")
    else:
        out.print(bundle.card, markup=False, highlight=False, soft_wrap=True)


@app.command()
def install(file: Annotated[Path, typer.Argument(help="A bundle as a zip file.")]) -> None:
    """Verify a bundle and put it on the list."""
    from medseg import model_list

    model = model_list.install(file)
    out.print(model.name)
    err.print(f"Segment with it: medseg predict SCAN --model {model.name}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder, bundle, or name of a model.")],
    file: Annotated[Path, typer.Argument(help="The zip file to write.")],
    half: Annotated[
        bool, typer.Option("--half", help="Weights in bfloat16: half as large, rounded.")
    ] = False,
) -> None:
    """Write a model into one file, with the SHA-256 of every entry."""
    import tempfile

    from medseg import bundle, bundle_archive, model_list
    from medseg.errors import UsageError

    if file.suffix.lower() != bundle_archive.SUFFIX:
        raise UsageError(f"{file} does not end in .zip", remedy="Name a file that ends in .zip")
    model = model_list.choose_bundle(run)
    with tempfile.TemporaryDirectory() as place:
        chosen = bundle.rounded(model, Path(place) / "bundle") if half else model
        bundle_archive.export(chosen, file)
    bundle_archive.verify(file)
    out.print(str(file))


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A bundle: a zip file, a folder, or a name.")],
) -> None:
    """Check every byte of a bundle, without installing it."""
    from medseg import bundle_archive, model_list

    if file.is_file():
        bundle_archive.verify(file)
    else:
        model_list.choose_bundle(file)
    out.print(f"{file}: sound")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Its name, as 'medseg models list' has it.")],
) -> None:
    """Take a model off the list; an installed one is deleted, a trained one stays in its run."""
    from medseg import model_list

    model = model_list.remove(name)
    rest = "deleted" if model.installed else f"its files stay in {model.bundle.folder}"
    out.print(f"{model.name}: off the list, {rest}")
