"""What may interrupt training; the loop as a whole is tested with `fit`."""

import pytest

from medseg.errors import UsageError
from medseg.training.loop import workers_watched


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("DataLoader worker (pid(s) 12) exited unexpectedly", UsageError),
        ("something else", RuntimeError),
    ],
)
def test_a_worker_that_the_system_ends_is_explained(said, kind):
    with pytest.raises(kind), workers_watched():
        raise RuntimeError(said)
