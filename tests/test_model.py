import inspect

import pytest

from medseg.bundle import Bundle
from medseg.nnunet_bundle import NnunetBundle

SHARED = (
    *("task", "plan", "hash", "folder", "experience", "mirror_axes", "remarks", "members"),
    *("build_network", "prepare"),
)


@pytest.mark.parametrize("kind", [Bundle, NnunetBundle])
@pytest.mark.parametrize("name", SHARED)
def test_every_model_has_what_inference_needs(kind, name):
    known = {*dir(kind), *inspect.signature(kind).parameters}
    assert name in known
