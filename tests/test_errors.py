import pickle
import re
from pathlib import Path

import pytest

from medseg import errors
from medseg.errors import ImageError, MedsegError

KINDS = [errors.MedsegError, *errors.MedsegError.__subclasses__()]


def test_an_error_says_where_what_and_what_to_do():
    error = ImageError("is torn", where=Path("a/scan.nii"), remedy="Copy it anew")
    assert str(error) == "a/scan.nii: is torn. Copy it anew."


def test_an_error_without_a_place_starts_with_what():
    assert (
        str(MedsegError("something is wrong", remedy="Mend it")) == "something is wrong. Mend it."
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_from_a_worker_process(kind):
    error = kind("is torn", where=Path("scan.nii"), remedy="Copy it anew")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert (back.what, back.remedy, back.where) == (error.what, error.remedy, error.where)
    assert str(back) == str(error)


def test_every_kind_has_the_exit_code_that_the_table_gives_it():
    table = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", errors.__doc__, flags=re.MULTILINE))
    assert {kind.__name__: str(kind.exit_code) for kind in KINDS[1:]} == {
        name: code for code, name in table.items()
    }


def test_a_list_in_a_message_ends_after_twenty():
    names = [f"case {number}" for number in range(30)]
    assert errors.listed(names[:2]) == "case 0, case 1"
    assert errors.listed(names).endswith("case 19, ...")
    assert errors.listed(names[:2], separator="; ") == "case 0; case 1"
