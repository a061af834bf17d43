import pytest

from medseg.errors import UsageError
from medseg.inference.options import Options


def test_quick_never_overlaps_more_than_the_plan():
    assert Options(quick=True).overlap_of(0.5) == 0.25
    assert Options(quick=True).overlap_of(0.1) == 0.1


@pytest.mark.parametrize("more", [{"tta": True}, {"overlap": 0.5}])
def test_quick_decides_on_mirroring_and_overlap(more):
    with pytest.raises(UsageError, match="quick decides"):
        Options(quick=True, **more)


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_an_overlap_is_a_part_of_a_patch(overlap):
    with pytest.raises(UsageError, match=r"an overlap of .* is not possible"):
        Options(overlap=overlap)
