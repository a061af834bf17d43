import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medseg import regions
from medseg import task as tasks

PHANTOM = tasks.read("phantom")
HIPPOCAMPUS = tasks.read("hippocampus")
shapes = hnp.array_shapes(min_dims=3, max_dims=3, max_side=4)


def map_of(*values):
    return np.array(values, dtype=np.uint8).reshape(-1, 1, 1)


@given(st.data())
@pytest.mark.parametrize("task", [PHANTOM, HIPPOCAMPUS], ids=lambda task: task.name)
def test_decoding_what_was_encoded_gives_it_back(task, data):
    values = [0, *(label.value for label in task.labels.values())]
    label_map = data.draw(hnp.arrays(np.uint8, shapes, elements=st.sampled_from(values)))
    assert np.array_equal(regions.decode(regions.encode(label_map, task), task), label_map)


def test_regions_are_unions_of_labels():
    masks = regions.encode(map_of(0, 1, 2, 4), PHANTOM)
    assert masks[:, :, 0, 0].tolist() == [
        [False, True, True, True],  # whole
        [False, False, True, True],  # core
        [False, False, False, True],  # innermost
    ]


def test_the_mask_of_a_region_is_the_one_encoded():
    label_map = map_of(0, 1, 2, 4)
    for index, name in enumerate(PHANTOM.region_names):
        mask = regions.mask_of(label_map, PHANTOM, name)
        assert np.array_equal(mask, regions.encode(label_map, PHANTOM)[index])


# whole, core, innermost: the label with the fewest regions changed; of equals, the one with more.
BY_HAND = {
    (0, 0, 0): 0,
    (1, 0, 0): 1,
    (1, 1, 0): 2,
    (1, 1, 1): 4,
    (0, 1, 0): 2,  # one change to nothing or to whole and core: more is kept
    (0, 0, 1): 0,  # one change to nothing, two to all three
    (1, 0, 1): 4,  # one change to whole alone or to all three: more is kept
    (0, 1, 1): 4,  # one change to all three
}


@pytest.mark.parametrize("pattern", list(itertools.product((0, 1), repeat=3)))
def test_impossible_patterns_become_the_nearest_label(pattern):
    masks = np.array(pattern, dtype=bool).reshape(3, 1, 1, 1)
    assert regions.decode(masks, PHANTOM).item() == BY_HAND[pattern]


def test_two_exclusive_regions_at_once_become_the_first():
    masks = np.array([[True], [True]]).reshape(2, 1, 1, 1)
    assert regions.decode(masks, HIPPOCAMPUS).item() == 1


def test_logits_decide_impossible_patterns_by_their_sum():
    # whole -1, core +3, innermost -2. Nothing: 0; whole: -1; whole and core: 2; all: 0.
    logits = np.array([-1, 3, -2], dtype=np.float32).reshape(3, 1, 1, 1)
    assert regions.decode_logits(logits, PHANTOM).item() == 2
    # whole -4, core +3, innermost -2: nothing with 0 beats whole and core with -1.
    logits = np.array([-4, 3, -2], dtype=np.float32).reshape(3, 1, 1, 1)
    assert regions.decode_logits(logits, PHANTOM).item() == 0


@given(hnp.arrays(np.float32, (3, 2, 2, 2), elements=st.floats(-8, 8, width=16)))
def test_the_label_is_the_most_likely_of_independent_regions(logits):
    found = regions.decode_logits(logits, PHANTOM)
    inside = 1 / (1 + np.exp(-logits.astype(np.float64)))
    likelihoods = {
        value: np.prod([p if on else 1 - p for p, on in zip(inside, pattern, strict=True)], axis=0)
        for pattern, value in {(0, 0, 0): 0, (1, 0, 0): 1, (1, 1, 0): 2, (1, 1, 1): 4}.items()
    }
    best = np.max(list(likelihoods.values()), axis=0)
    chosen = np.select([found == value for value in likelihoods], list(likelihoods.values()))
    assert chosen == pytest.approx(best, rel=1e-6)


@given(hnp.arrays(np.float32, (3, 2, 2, 2), elements=st.floats(-8, 8, width=16), unique=True))
def test_exclusive_labels_are_the_largest_output(logits):
    # outputs: background, anterior (1), posterior (2)
    assert np.array_equal(regions.decode_logits(logits, HIPPOCAMPUS), logits.argmax(axis=0))


def test_patterns_list_the_outputs_that_each_value_switches_on():
    values, table = regions.patterns(PHANTOM)
    assert values == (4, 2, 1, 0)
    assert table.tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]]
    values, table = regions.patterns(HIPPOCAMPUS)
    assert values == (1, 2, 0)
    assert table.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_entropy_is_one_where_all_is_equally_likely_and_zero_where_it_is_certain():
    for task in (HIPPOCAMPUS, PHANTOM):
        unsure = regions.entropy(np.zeros((task.out_channels, 1, 1, 1), np.float32), task)
        assert unsure.item() == pytest.approx(1, abs=1e-6)
        certain = np.full((task.out_channels, 1, 1, 1), -200, np.float32)
        certain[0] = 200
        assert regions.entropy(certain, task).item() == pytest.approx(0, abs=1e-6)


def test_entropy_by_hand():
    # softmax of (0, ln 2, ln 5) is 1/8, 2/8, 5/8
    logits = np.log(np.array([1, 2, 5], np.float32)).reshape(3, 1, 1, 1)
    shares = np.array([1, 2, 5]) / 8
    expected = -(shares * np.log(shares)).sum() / np.log(3)
    assert regions.entropy(logits, HIPPOCAMPUS).item() == pytest.approx(expected, rel=1e-5)
    # sigmoid of (0, ln 3, -ln 3) is 1/2, 3/4, 1/4
    logits = np.log(np.array([1, 3, 1 / 3], np.float32)).reshape(3, 1, 1, 1)
    quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    found = regions.entropy(logits, PHANTOM).item()
    assert found == pytest.approx((1 + 2 * quarter) / 3, rel=1e-5)


def test_regions_can_be_painted_over_each_other():
    first, second, third = PHANTOM.labels
    painted = dict(zip(PHANTOM.region_names, (first, second, third), strict=True))
    task = PHANTOM.model_copy(update={"painted": painted})
    logits = np.array(  # of whole, core and innermost, in four voxels
        [[-1, 2, -3, 4], [-1, -9, 1, 0], [-1, -2, -3, 5]], np.float32
    ).reshape(3, 4, 1, 1)
    values = [PHANTOM.labels[name].value for name in (first, second, third)]
    assert regions.decode_logits(logits, task).reshape(-1).tolist() == [0, *values]
    assert not task.exclusive
