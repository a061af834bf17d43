from pathlib import Path

import medseg
from medseg import resources


def test_the_shipped_tasks_are_found_beside_or_inside_the_package():
    assert {"hippocampus", "phantom"} <= set(resources.names("configs/tasks", ".yaml"))


def test_an_installed_package_uses_its_own_folder(tmp_path, monkeypatch):
    package = tmp_path / "medseg"
    (package / "configs").mkdir(parents=True)
    monkeypatch.setattr(resources, "__file__", str(package / "resources.py"))
    assert resources.folder("configs") == package / "configs"
    assert resources.folder("data_cards") == tmp_path / "data_cards"


def test_a_folder_that_is_not_there_has_no_names():
    assert resources.names("nowhere", ".yaml") == []
    assert Path(medseg.__file__).parent == Path(resources.__file__).parent
