"""Progress goes to standard error, so that results can be piped."""

import io
import re

import pytest
from rich.console import Console

from medseg.cli import console
from medseg.cli.console import bar, err, out, show
from medseg.evaluation import score_files
from medseg.evaluation.clinical_numbers import ClinicalNumbers, Measured
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Score, Scores
from medseg.evaluation.text_table import TextTable


def test_results_and_progress_do_not_mix(capsys):
    with bar(counted=True) as progress:
        task = progress.add_task("Working", total=2)
        progress.advance(task)
        out.print("result")
        err.print("note")
    captured = capsys.readouterr()
    assert captured.out == "result\n"
    assert "note" in captured.err


def test_a_pipe_gets_the_whole_width_of_a_table(capsys):
    long = "a_region_with_a_name_that_is_longer_than_any_terminal_is_wide" * 2
    show(TextTable("Scores", (long, "dice"), (("left", "0.5"),), words=1))
    lines = capsys.readouterr().out.splitlines()
    assert any(long in line for line in lines)
    assert any("left" in line and "0.5" in line for line in lines)


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of some width; what it shows comes back as lines."""

    def shown(table, width):
        text = io.StringIO()
        fake = Console(
            file=text, width=width, force_terminal=True, soft_wrap=True, color_system=None
        )
        monkeypatch.setattr(console, "out", fake)
        show(table)
        return text.getvalue().splitlines()

    return shown


QUANTITIES = ("LV EDV", "LV EDV index", "LV EF", "LV mass index", "RV ESV index")
NUMBERS = ClinicalNumbers(
    tuple(
        Measured(subject, quantity, "mL/m2", reference, prediction)
        for quantity in QUANTITIES
        for subject, reference, prediction in (("a", 123.456, 98.765), ("b", 1234.5, 0.0))
    )
)
SCORES = Scores(
    tuple(
        Score(
            case, region, dict.fromkeys(("dice", "nsd", "hd95_mm", "assd_mm"), value), Status.BOTH
        )
        for case, value in (("a", 0.1234), ("b", 0.5678))
        for region in ("left_ventricle", "right_ventricle", "myocardium")
    )
)
TABLES = {
    "brief": score_files.agreements_in_brief(NUMBERS),
    "all": score_files.agreements(NUMBERS),
    "means": score_files.means(SCORES),
}


@pytest.mark.parametrize("width", [40, 80, 120, 160])
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_no_number_is_broken_however_narrow_the_terminal(table, width, terminal):
    lines = terminal(table, width)
    assert max(map(len, lines)) <= width
    words = re.split(r"[\s│┃]+", " ".join(lines))
    for row in table.rows:
        for cell in row[table.words :]:
            for number in cell.split():
                assert number in words
    assert "…" not in "".join(lines)


@pytest.mark.parametrize(("name", "width"), [("brief", 80), ("brief", 120), ("means", 120)])
def test_the_tables_of_an_evaluation_are_one_table_in_a_usual_terminal(name, width, terminal):
    lines = terminal(TABLES[name], width)
    assert sum(line.startswith("┏") for line in lines) == 1
    assert sum(cell in line for line in lines for cell in [TABLES[name].rows[0][0]]) >= 1
