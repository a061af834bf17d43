"""Patches and the order of merged neighbours."""

import pytest
import torch
from torch.nn import functional

from medseg.blocks.axes import product
from medseg.blocks.patch import (
    PatchEmbedding,
    PatchMerging,
    halvings,
    neighbours,
)


def test_an_embedding_is_a_convolution_as_wide_as_its_stride():
    embedding = PatchEmbedding(2, 5, stride=(1, 2, 3)).double()
    image = torch.randn(2, 2, 3, 4, 6, dtype=torch.float64)
    expected = functional.conv3d(
        image, embedding.proj.weight, embedding.proj.bias, stride=(1, 2, 3)
    )
    torch.testing.assert_close(embedding(image), expected.permute(0, 2, 3, 4, 1))


@pytest.mark.parametrize(
    ("stride", "order", "expected"),
    [
        ((2, 2, 2), "monai", "000 100 010 001 110 101 011 111"),
        ((2, 2, 2), "monai_v2", "000 001 010 011 100 101 110 111"),
        ((2, 2, 2), "legacy", "000 100 010 001 101 010 001 111"),
        ((1, 2, 2), "monai", "000 010 001 011"),
        ((1, 2, 2), "monai_v2", "000 001 010 011"),
    ],
)
def test_neighbours_come_in_the_order_of_the_weights(stride, order, expected):
    assert [f"{a}{b}{c}" for a, b, c in neighbours(stride, order)] == expected.split()


def test_merging_fills_an_odd_grid_with_zeros():
    torch.manual_seed(0)
    merging = PatchMerging(3, stride=(2, 2, 2), order="monai")
    tokens = torch.randn(1, 3, 4, 5, 3)
    filled = functional.pad(tokens, (0, 0, 0, 1, 0, 0, 0, 1))
    assert merging(tokens).shape == (1, 2, 2, 3, 6)
    torch.testing.assert_close(merging(tokens), merging(filled))


def test_embedded_tokens_may_be_normalised():
    embedding = PatchEmbedding(1, 6, stride=(2, 2, 2), normalized=True)
    tokens = embedding(torch.randn(1, 1, 4, 4, 4))
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(1, 2, 2, 2), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ((4, 4, 4), [(2, 2, 2), (2, 2, 2)]),
        ((1, 4, 4), [(1, 2, 2), (1, 2, 2)]),
        ((2, 4, 4), [(1, 2, 2), (2, 2, 2)]),
        ((2, 1, 8), [(1, 1, 2), (1, 1, 2), (2, 1, 2)]),
    ],
)
def test_a_patch_is_halved_time_and_again_its_short_axes_last(patch, expected):
    assert halvings(patch) == expected
    assert product(*expected) == patch


@pytest.mark.parametrize("patch", [(3, 4, 4), (1, 1, 1), (0, 2, 2)])
def test_only_powers_of_two_are_halved(patch):
    with pytest.raises(ValueError, match="must be powers of 2"):
        halvings(patch)


@pytest.mark.usefixtures("unchecked_types")
def test_an_unknown_order_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="merging 'merging' is none of monai, monai_v2, legacy"):
        neighbours((2, 2, 2), "merging")
