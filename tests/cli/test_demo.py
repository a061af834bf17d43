"""`medseg demo`, shortened."""

import json

import pytest

from medseg.__main__ import run


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_the_demo_leaves_what_it_promises(tmp_path, capsys):
    folder = tmp_path / "demo"
    (folder / "old").mkdir(parents=True)
    (folder / ".medseg-demo").touch()
    assert run(["demo", "--out", str(folder), "--max-time", "5s"]) == 0
    shown = capsys.readouterr().out
    assert not (folder / "old").exists()
    endings = sorted(
        path.name.split("_seg")[1] for path in (folder / "predictions").glob("*_seg.*")
    )
    assert endings == [".nii.gz"] * 4 + [".seg.nrrd"] * 4
    assert json.loads((folder / "scores" / "summary.json").read_text())["cases"] == 4
    assert "For 3D Slicer" in shown
    index = folder / "report" / "index.html"
    assert shown.splitlines()[-1].endswith(str(index))
    pages = [page.read_text(encoding="utf-8") for page in index.parent.glob("phantom_*.html")]
    assert len(pages) == 4
    for part in ("viewer-data", "Surface", "Quality control", "Comparison with the reference"):
        assert all(part in page for page in pages)


def test_the_demo_deletes_nothing_but_an_earlier_demo(tmp_path, capsys):
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(b"precious")
    assert run(["demo", "--out", str(tmp_path)]) == 2
    assert run(["demo", "--out", str(scan)]) == 2
    assert "Name a new folder" in capsys.readouterr().err
    assert scan.read_bytes() == b"precious"
