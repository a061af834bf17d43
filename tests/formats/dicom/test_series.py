from pathlib import Path

import numpy as np
import pytest

from medseg.errors import ImageError
from medseg.formats.dicom.headers import Slice
from medseg.formats.dicom.series import choose


def slices(uid, count=2, **fields):
    plane = np.array([[1.0, 0, 0], [0, 1, 0]])
    return [Slice(Path("a"), uid, np.zeros(3), plane, (5, 4), fields) for _ in range(count)]


THIN = slices("1.1", 3, description="CT Thorax thin", modality="CT")
THICK = slices("1.2", description="CT Thorax", modality="CT")
NAMELESS = slices("1.3")


def test_the_only_series_need_not_be_named():
    assert choose(THIN, None, where="folder") == THIN


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [("1.2", THICK), ("ct thorax", THICK), ("thin", THIN), ("1.3", NAMELESS), (" THIN ", THIN)],
)
def test_a_series_is_named_by_uid_description_or_a_part_of_it(wanted, chosen):
    assert choose([*THIN, *THICK, *NAMELESS], wanted, where="folder") == chosen


@pytest.mark.parametrize(
    ("wanted", "said"),
    [(None, ""), ("abdomen", ", of which none fit"), ("Tho", ", of which 2 fit")],
)
def test_without_a_clear_choice_all_are_listed(wanted, said):
    with pytest.raises(ImageError) as caught:
        choose([*THIN, *THICK, *NAMELESS], wanted, where="folder")
    first, *listed, last = str(caught.value).splitlines()
    assert first.startswith(f"folder: holds 3 DICOM series{said}")
    assert listed == [
        "  CT Thorax thin: CT, 3 slices of 5x4, 1.1",
        "  CT Thorax: CT, 2 slices of 5x4, 1.2",
        "  without a description: ?, 2 slices of 5x4, 1.3",
    ]
    assert "--series" in last


def test_a_name_that_does_not_fit_the_only_series_is_refused():
    with pytest.raises(ImageError, match="of which none fit 'liver'"):
        choose(THIN, "liver", where="folder")
