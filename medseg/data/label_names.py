"""`labels.json` beside a folder or list of images: what the values of the label maps mean.

`{"1": "liver", "2": "spleen", "others": "background"}`: a name for each value. A value named
`background` counts as such; with `others` so does every value that is not listed, else it is an
error.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from medseg.data.data_set import BACKGROUND
from medseg.errors import DataError

NAME: Final = "labels.json"

_OTHERS: Final = "others"


def read(folder: Path) -> tuple[Mapping[str, Mapping[int, str]], bool]:
    """Return the numbering, none if there is no file, and whether other values are background.

    Raises:
        DataError: The file is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return {}, False
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        others = document.pop(_OTHERS, None)
        names = {int(value): str(name) for value, name in document.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            'is not of the form {"1": "name", "2": "name"}',
            where=path,
            remedy="Write each value of the label maps before its name",
        ) from error
    if others not in (None, BACKGROUND):
        raise DataError(
            f"names other values {others!r}",
            where=path,
            remedy=f'Write "{_OTHERS}": "{BACKGROUND}", or leave it out',
        )
    return {NAME: names}, others is not None
