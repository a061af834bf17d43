import tomllib

import medseg
from medseg.resources import folder
from medseg.version import __version__


def test_the_version_is_the_package_s():
    settings = tomllib.loads((folder("configs").parent / "pyproject.toml").read_text("utf-8"))
    assert __version__ == medseg.__version__ == settings["project"]["version"]
