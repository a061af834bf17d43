"""The command line: one file per verb, each thin: parse, build, call, print.

Only typer is imported here; a verb imports what it needs when it is called, so that
`medseg --help` answers at once.
"""

from typing import Annotated

import typer

from medseg.cli import models
from medseg.cli.channel_options import ChannelCommand
from medseg.cli.check import check
from medseg.cli.compare import compare
from medseg.cli.demo import demo
from medseg.cli.doctor import doctor
from medseg.cli.evaluate import evaluate
from medseg.cli.export import export
from medseg.cli.import_labels import import_labels
from medseg.cli.networks import networks
from medseg.cli.phantom import phantom
from medseg.cli.plan import plan
from medseg.cli.predict import predict
from medseg.cli.report import report
from medseg.cli.tasks import tasks
from medseg.cli.train import train
from medseg.version import __version__

app = typer.Typer(
    name="medseg",
    help="3D medical image segmentation: train, predict, evaluate, open in 3D Slicer."
    " For research use only.",
    epilog="Add --debug to any command to see where an error arose.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(check)
app.command()(plan)
app.command()(train)
app.command(cls=ChannelCommand)(predict)
app.command("import")(import_labels)
for verb in (evaluate, compare, report, export, tasks, networks, phantom, demo, doctor):
    app.command()(verb)
app.add_typer(models.app, name="models")


def _print_version(wanted: bool) -> bool:  # noqa: FBT001 - typer calls it
    if wanted:
        typer.echo(f"medseg {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before the verb."""
