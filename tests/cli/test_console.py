"""Progress goes to standard error, so that results can be piped."""

from medseg.cli.console import bar, err, out, show
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
