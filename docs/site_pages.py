"""Pages of the site that the code says itself, made when the site is built; a hook of MkDocs.

Commands come from the command line, the Python interface and the networks from their docstrings,
and some pages from files that lie elsewhere in the repository. Links between them are kept; a link
to a file that is no page becomes plain text.
"""

import ast
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.testing import CliRunner

from medseg import errors, networks, registry
from medseg.cli import app

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "medseg"
PYTHON = "reference/python"
COMMANDS = "reference/commands.md"
EXIT_CODES = "<!-- exit codes -->"

ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/RESULTS.md": "measured.md",
    "slicer/MedSeg/README.md": "slicer.md",
}
NETWORKS = "networks.md"
_WIDE = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
_LINK = re.compile(
    r"(?P<image>!?)\[(?P<text>[^\]\[]*)\]\((?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)"
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add what is found in the code, and documents that are not listed, to the navigation."""
    _add_unlisted(config.nav)
    cards = [{_title(path): f"data_cards/{path.name}"} for path in _cards()]
    modules = [{name: f"{PYTHON}/{name}.md"} for name in _modules()]
    changes = {"Changes": "changelog.md"}
    config.nav = [
        *config.nav,
        {"Reference": [{"Commands": COMMANDS}, changes, {"Python": modules}]},
        {"Data cards": cards},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for place, text in _pages():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put tables in their place, and let links lead to pages."""
    place = page.file.src_uri
    origin = next((path for path, site in _places().items() if site == place), None)
    markdown = markdown.replace(EXIT_CODES, _table_of(errors.__doc__ or ""))
    return markdown if origin is None else _linked(markdown, origin, place)


def _add_unlisted(nav: list[Any]) -> None:
    """Put documents that the navigation does not name at the end of its how-to pages."""
    (how_to,) = (entry["How to"] for entry in nav if "How to" in entry)
    listed = set(re.findall(r"'([\w./-]+\.md)'", str(nav)))
    for path in sorted((ROOT / "docs").glob("*.md")):
        if path.name not in listed:
            how_to.append({_title(path): path.name})


def _pages() -> Iterator[tuple[str, str]]:
    for path, place in ELSEWHERE.items():
        yield place, (ROOT / path).read_text(encoding="utf-8")
    for path in _cards():
        front = re.compile(r"\A---\n.*?\n---\n", flags=re.DOTALL)
        yield f"data_cards/{path.name}", front.sub("", path.read_text(encoding="utf-8"))
    for name in _modules():
        yield f"{PYTHON}/{name}.md", f"::: {name}\n"
    yield COMMANDS, "\n".join(_commands())
    yield NETWORKS, "\n".join(_networks())


def _cards() -> list[Path]:
    return sorted(path for path in (ROOT / "data_cards").glob("*.md") if path.stem != "TEMPLATE")


def _title(path: Path) -> str:
    found = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return found[1] if found else path.stem


def _modules() -> list[str]:
    """Return the packages and modules right below medseg, without what only the terminal uses."""
    found = [
        path for path in sorted(PACKAGE.iterdir()) if path.suffix == ".py" or _is_package(path)
    ]
    return [f"medseg.{path.stem}" for path in found if path.stem[0] != "_" and path.stem != "cli"]


def _is_package(path: Path) -> bool:
    return (path / "__init__.py").is_file()


# Commands


def _commands() -> Iterator[str]:
    yield "# Commands\n"
    yield "What each command says with `--help`.\n"
    yield from _command(typer.main.get_command(app), ())


def _command(command: Any, words: tuple[str, ...]) -> Iterator[str]:
    """Give what a command says of itself, then what the commands below it say."""
    answer = CliRunner().invoke(app, [*words, "--help"], env=_WIDE, prog_name="medseg")
    lines = [line.rstrip() for line in answer.output.strip("\n").splitlines()]
    yield f"\n## {' '.join(['medseg', *words])}\n"
    yield "\n".join(["```text", *lines, "```\n"])
    for verb, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _command(inner, (*words, verb))


# Networks


def _networks() -> Iterator[str]:
    yield "# Networks and their papers\n"
    yield (
        "What each network is, where it was published, and in what medseg's differs from the"
        " published code. The same words open each network's file.\n"
    )
    for name in registry.names(networks):
        path = PACKAGE / "networks" / f"{name}.py"
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        yield f"## {name}\n"
        for paragraph in re.split(r"\n\n|\n(?=Source:|Differs from)", text):
            yield re.sub(r"^([A-Z][\w ]+:) ", r"**\1** ", _linked_addresses(paragraph)) + "\n"
        yield f"[Its options](reference/python/medseg.networks.md#medseg.networks.{name})\n"


def _linked_addresses(text: str) -> str:
    return re.sub(r"(https?://[^\s,;]+[^\s,;.)])", r"<\1>", text)


# Links


def _places() -> dict[str, str]:
    """Return the page of each file of the repository that is one."""
    inside = {f"docs/{path.name}": path.name for path in (ROOT / "docs").glob("*.md")}
    cards = {f"data_cards/{path.name}": f"data_cards/{path.name}" for path in _cards()}
    return {**inside, **ELSEWHERE, **cards}


def _linked(markdown: str, origin: str, place: str) -> str:
    """Return the text of the file `origin` with links as the page `place` needs them."""

    def changed(match: re.Match[str]) -> str:
        target = match["target"]
        if not target or ":" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        page = _page_of(path)
        if page is None:
            return match["text"]
        relative = posixpath.relpath(page, posixpath.dirname(place) or ".")
        return f"{match['image']}[{match['text']}]({relative}{match['anchor'] or ''})"

    return _LINK.sub(changed, markdown)


def _page_of(path: str) -> str | None:
    """Return the page or picture that stands for a file of the repository; None if none does."""
    known = {**_places(), "medseg/networks": NETWORKS}
    if path in known:
        return known[path]
    if path.startswith("medseg/"):
        return f"{PYTHON}/medseg.{Path(path).parts[1].removesuffix('.py')}.md"
    is_picture = path.startswith("docs/") and (ROOT / path).is_file()
    return path.removeprefix("docs/") if is_picture else None


def _table_of(docstring: str) -> str:
    return os.linesep.join(line for line in docstring.splitlines() if line.startswith("|"))
