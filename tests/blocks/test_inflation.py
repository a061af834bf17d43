"""A stack of equal slices must be answered as one slice was."""

import pytest
import torch
from torch.nn import functional

from medseg import weights
from medseg.blocks.inflation import inflated_kernel, resized_table, side_of_window
from medseg.blocks.patch import PatchMerging
from medseg.weights import Source


@pytest.fixture
def image():
    return torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def stack(image, slices):
    return image[:, :, None].expand(-1, -1, slices, -1, -1)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_convolution_answers_equal_slices_as_one_slice(image, depth):
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    deep = inflated_kernel(weight, (4, 3, depth, 3, 3), transposed=False)
    answer = functional.conv3d(stack(image, depth), deep)  # one slice is left
    torch.testing.assert_close(answer[:, :, 0], functional.conv2d(image, weight))


def test_a_transposed_convolution_answers_equal_slices_as_one_slice(image):
    weight = torch.randn(3, 5, 2, 2, generator=torch.Generator().manual_seed(1))
    deep = inflated_kernel(weight, (3, 5, 2, 2, 2), transposed=True)
    answer = functional.conv_transpose3d(stack(image, 2), deep, stride=2)
    flat = functional.conv_transpose2d(image, weight, stride=2)
    for slice_ in answer.unbind(2):
        torch.testing.assert_close(slice_, flat)


def test_equal_channels_are_answered_as_the_colours_of_grey_were(image):
    weight = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    grey = image[:, :1]
    colours = functional.conv2d(grey.expand(-1, 3, -1, -1), weight)
    for channels in (1, 2, 4):
        fitted = inflated_kernel(weight, (4, channels, 1, 2, 2), transposed=False)
        answer = functional.conv3d(stack(grey.expand(-1, channels, -1, -1), 1), fitted)
        torch.testing.assert_close(answer[:, :, 0], colours)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [((4, 3, 4, 4), (4, 3, 2, 8, 8)), ((4, 3, 2, 2), (6, 3, 2, 2, 2)), ((4,), (4, 3, 1, 2, 2))],
)
def test_other_sizes_are_not_guessed(theirs, ours):
    assert inflated_kernel(torch.ones(theirs), ours, transposed=False) is None


def test_a_table_of_the_same_window_stays():
    table = torch.arange(13 * 13 * 2.0).view(169, 2)
    assert torch.equal(resized_table(table, (1, 7, 7), (1, 7, 7)), table)


def test_a_table_is_the_same_for_every_step_between_slices():
    table = torch.randn(25, 2, generator=torch.Generator().manual_seed(2))
    deep = resized_table(table, (1, 3, 3), (2, 3, 3)).view(3, 25, 2)
    for offset in deep:
        torch.testing.assert_close(offset, table)


def test_a_resized_table_keeps_its_corners_and_what_is_linear():
    # entry (a, b) of a 5x5 table holds a; a 7x7 table begins, is halved and ends at the same values
    table = torch.arange(5.0).repeat_interleave(5)[:, None]
    larger = resized_table(table, (1, 3, 3), (1, 4, 4)).view(7, 7)
    expected = torch.tensor([0.0, 2.0, 4.0])[:, None].expand(-1, 7)
    torch.testing.assert_close(larger[[0, 3, 6]], expected)
    cube = torch.arange(3.0).repeat_interleave(9)[:, None]
    finer = resized_table(cube, (2, 2, 2), (3, 2, 2)).view(5, 3, 3)
    torch.testing.assert_close(finer[:, 1, 1], torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0]))
    oblong = torch.arange(3.0).repeat_interleave(13)[:, None]  # a window of 2 x 1 x 7
    finer = resized_table(oblong, (2, 1, 7), (3, 1, 2)).view(5, 3)
    torch.testing.assert_close(finer[:, 1], torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0]))


@pytest.mark.parametrize(
    ("entries", "axes", "side"),
    [(169, 2, 7), (2197, 3, 7), (729, 2, 14), (729, 3, 5), (125, 3, 3), (1, 2, 1), (1, 3, 1)],
)
def test_a_table_tells_the_side_of_its_window(entries, axes, side):
    assert side_of_window(entries, axes) == side


@pytest.mark.parametrize(("entries", "axes"), [(125, 2), (9 * 13 * 9, 3), (16, 2), (8, 3), (10, 2)])
def test_a_window_of_unequal_or_impossible_sides_is_not_guessed(entries, axes):
    assert side_of_window(entries, axes) is None


def merged_slice(grid, weights):
    """The merging of images as Swin publishes it: first axis first."""
    four = torch.cat([grid[a::2, b::2] for b in (0, 1) for a in (0, 1)], dim=-1)
    normed = functional.layer_norm(four, (20,), weights["norm.weight"], weights["norm.bias"])
    return functional.linear(normed, weights["reduction.weight"])


@pytest.fixture
def merging_of_images():
    generator = torch.Generator().manual_seed(3)
    shapes = {"norm.weight": (20,), "norm.bias": (20,), "reduction.weight": (10, 20)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def source(**options):
    return {"them": Source(what="a merging", rename=lambda name: name, **options)}


@pytest.mark.parametrize("order", ["monai", "monai_v2"])
@pytest.mark.parametrize("slices", [1, 2, 3])
def test_merging_answers_equal_slices_as_one_slice(merging_of_images, order, slices):
    grid = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(4))
    merging = PatchMerging(5, stride=(slices, 2, 2), order=order)
    weights.load(merging, merging_of_images, source(flat=True))
    with torch.no_grad():
        answer = merging(grid.expand(1, slices, -1, -1, -1))
    torch.testing.assert_close(answer[0, 0], merged_slice(grid, merging_of_images))


@pytest.mark.parametrize(
    ("stride", "order"),
    [
        ((2, 2, 1), "monai"),
        ((2, 1, 2), "monai_v2"),
        ((1, 4, 1), "monai"),
        ((2, 2, 2), "legacy"),
    ],
)
def test_a_merging_that_images_do_not_have_is_not_filled(merging_of_images, stride, order):
    merging = PatchMerging(5, stride=stride, order=order)
    with pytest.raises(ValueError, match="0 weights matched"):
        weights.load(merging, merging_of_images, source(flat=True))


def test_merging_of_volumes_stays_as_it_is(merging_of_images):
    merging = PatchMerging(5, stride=(1, 2, 2), order="monai_v2")
    weights.load(merging, merging_of_images, source())
    assert torch.equal(merging.reduction.weight, merging_of_images["reduction.weight"])
