"""Progress goes to standard error, so that results can be piped."""

from medseg.cli.console import bar, err, out


def test_results_and_progress_do_not_mix(capsys):
    with bar(counted=True) as progress:
        task = progress.add_task("Working", total=2)
        progress.advance(task)
        out.print("result")
        err.print("note")
    captured = capsys.readouterr()
    assert captured.out == "result\n"
    assert "note" in captured.err
