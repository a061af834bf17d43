"""Every notebook runs from its first cell to its last, and is kept without outputs."""

import json

import nbclient
import nbformat
import pytest

from medseg.resources import folder

NOTEBOOKS = sorted((folder("configs").parent / "notebooks").glob("*.ipynb"))
MOST_SECONDS = 600  # a cell that takes this long hangs

names = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_there_is_one_for_each_part_of_the_line():
    assert [path.stem for path in NOTEBOOKS] == [
        "1_look_at_a_task",
        "2_train_a_small_network",
        "3_score_and_export",
    ]


@names
def test_it_is_sound_and_holds_no_output(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert code
    assert [cell["outputs"] for cell in code if cell["outputs"]] == []
    assert {cell["execution_count"] for cell in code} == {None}
    assert all(cell["metadata"] == {} for cell in cells(path))


@names
def test_it_opens_with_what_it_is_about(path):
    assert cells(path)[0]["source"][0].startswith("# ")


# nbclient and the kernel speak over sockets that the kernel's end leaves to the collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.slow
@names
def test_it_runs_to_its_end(path, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(notebook, timeout=MOST_SECONDS, resources=place)
    client.execute()
    shown = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    errors = [out for outs in shown for out in outs if out.output_type == "error"]
    assert errors == []
    assert any(out.output_type == "execute_result" for outs in shown for out in outs)
