"""`medseg tasks`."""

from medseg.__main__ import run


def test_every_task_is_listed(capsys):
    assert run(["tasks"]) == 0
    shown = capsys.readouterr().out
    assert "hippocampus" in shown
    assert "innermost" in shown
