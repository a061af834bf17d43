import re
from urllib.parse import quote

import pytest

from medseg.report import niivue

MODULE = "var a='x';" + "/*" + "é" * 120_000 + "*/" + "export{Niivue,NVImage,b as NVMesh};"


@pytest.fixture
def package(monkeypatch, tmp_path):
    """An installed package with any script in it."""

    def made(script, licence="Terms"):
        about = tmp_path / "ipyniivue-9.9.dist-info"
        texts = {
            "ipyniivue-9.9.dist-info/METADATA": "Metadata-Version: 2.1\nVersion: 9.9\n",
            "ipyniivue/static/widget.js": script,
            "ipyniivue-9.9.dist-info/licenses/LICENSE": licence,
        }
        kept = {name: text for name, text in texts.items() if text is not None}
        for name, text in kept.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (about / "RECORD").write_text("".join(f"{name},,\n" for name in kept))
        found = niivue.metadata.PathDistribution(about)
        monkeypatch.setattr(niivue.metadata, "distribution", lambda _: found)
        niivue.installed.cache_clear()

    yield made
    niivue.installed.cache_clear()


def test_the_module_is_taken_out_of_the_installed_package():
    viewer = niivue.installed()
    assert viewer is not None
    exported = viewer.module[viewer.module.rindex("export{") :]
    assert re.search(r"\bNiivue\b", exported)
    assert "BSD 2-Clause" in viewer.licence


def test_a_module_is_found_as_it_was_before_it_was_encoded(package):
    encoded = quote(MODULE, safe="-_.!~*'()")
    package(f'var a="%20",b="{encoded}";export{{a as default}};')
    assert niivue.installed() == niivue.NiiVue("9.9", MODULE, "Terms")


@pytest.mark.parametrize(
    "script",
    [None, "export{a};", f'var b="{quote("x" * 300_000)}"', 'a="' + quote("/" * 90_000) + '"'],
    ids=["none", "short", "other", "slashes"],
)
def test_a_package_that_is_built_otherwise_gives_no_viewer(script, package):
    package(script)
    assert niivue.installed() is None


def test_a_package_without_its_licence_gives_no_viewer(package):
    package(f'b="{quote(MODULE, safe="-_.!~*()")}"', licence=None)
    assert niivue.installed() is None


def test_without_the_package_there_is_no_viewer(monkeypatch):
    def missing(_):
        raise niivue.metadata.PackageNotFoundError

    monkeypatch.setattr(niivue.metadata, "distribution", missing)
    niivue.installed.cache_clear()
    assert niivue.installed() is None
    niivue.installed.cache_clear()
