"""The files that come with the package: task and recipe YAML, data cards, models."""

from pathlib import Path


def folder(name: str) -> Path:
    """Return the folder of shipped files called `name`, such as `configs`.

    An installed package carries them inside itself; a source checkout has them beside it.
    """
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def names(folder_name: str, suffix: str) -> list[str]:
    """Return the stems of the files with `suffix` in a shipped folder, sorted."""
    return sorted(path.stem for path in folder(folder_name).glob(f"*{suffix}"))
