"""Segments are labels by their names."""

from pathlib import Path

import numpy as np
import pytest

from medseg.errors import DataError
from medseg.segment_names import Segment, are_by_value, label_map_of

PATH = Path("a.seg.nrrd")


def line(*values):
    return np.array(values, dtype=np.uint8).reshape(-1, 1, 1)


def values_of(layers, segments, task):
    found = label_map_of(np.stack(layers), segments, task, where=PATH)
    return found[:, 0, 0].tolist()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("posterior", "x"), ("anterior", "x")),
        (("Segment_1", "Posterior hippocampus"), ("Segment_2", "Anterior hippocampus")),
        (("Segment_1", "posterior HIPPOCAMPUS "), ("Segment_2", "Anterior")),
    ],
)
def test_names_count_and_not_values_in_one_layer_too(first, second, hippocampus_task):
    # in the task 1 is anterior and 2 posterior; Slicer has numbered them the other way round
    segments = [Segment(*first, value=1, layer=0), Segment(*second, value=2, layer=0)]
    assert not are_by_value(line(1, 2, 0)[None], segments, hippocampus_task)
    assert values_of([line(1, 2, 2, 0)], segments, hippocampus_task) == [2, 1, 1, 0]


@pytest.mark.parametrize("title", ["", "Segment_1", "segment 12", "Segment"])
def test_one_layer_of_nameless_segments_goes_by_value(title, hippocampus_task):
    segments = [Segment("Segment_1", title, 1, 0)]
    assert are_by_value(line(1, 0)[None], segments, hippocampus_task)
    assert are_by_value(line(1, 0)[None], [], hippocampus_task)
    two_layers = np.stack([line(1, 0), line(0, 1)])
    assert not are_by_value(two_layers, segments, hippocampus_task)


@pytest.mark.parametrize("title", ["Liver", "tumour 1"])
def test_names_that_contradict_the_task_are_refused_whatever_the_values(title, hippocampus_task):
    segments = [Segment("Segment_1", title, 1, 0)]
    assert not are_by_value(line(1, 0)[None], segments, hippocampus_task)
    with pytest.raises(DataError, match=f"no label of task hippocampus: {title}.* Call the seg"):
        values_of([line(1, 0)], segments, hippocampus_task)


def test_a_nameless_segment_beside_named_ones_is_refused(hippocampus_task):
    segments = [Segment("anterior", "", 1, 0), Segment("Segment_2", "Segment_2", 2, 0)]
    with pytest.raises(DataError, match="Segment_2"):
        values_of([line(1, 2)], segments, hippocampus_task)


def test_voxels_of_no_segment_are_refused(hippocampus_task):
    segments = [Segment("anterior", "", 1, 0)]
    with pytest.raises(DataError, match="voxels of value 2 that no segment"):
        values_of([line(1, 2)], segments, hippocampus_task)


def test_a_region_must_be_what_its_labels_make_up(phantom_task):
    labels = [Segment("rim", "Rim", 1, 0), Segment("inner", "Inner part", 2, 0)]
    whole = Segment("Segment_9", "Whole", 1, 1)
    layer = line(1, 2, 0, 0)
    assert values_of([layer, line(1, 1, 0, 0)], [*labels, whole], phantom_task) == [1, 4, 0, 0]
    with pytest.raises(DataError, match="Whole differs in 2 voxels from its labels, Rim, Mantle"):
        values_of([layer, line(1, 1, 1, 1)], [*labels, whole], phantom_task)


def coded(number, *code):
    return Segment("", f"part {number}", number, 0, code=code)


def test_codes_count_where_names_say_nothing(hippocampus_task):
    hippocampus, anterior, posterior = "SCT^5366008", "SCT^255549009", "SCT^255551008"
    segments = [coded(1, hippocampus, posterior), coded(2, hippocampus, anterior)]
    assert values_of([line(1, 2, 2, 0)], segments, hippocampus_task) == [2, 1, 1, 0]
    with pytest.raises(DataError, match="no label of task hippocampus: part 1"):
        values_of([line(1, 0)], [coded(1, hippocampus)], hippocampus_task)  # which of the two?


def test_the_code_that_everything_has_says_nothing(hippocampus_task):
    tissue = {"code": "SCT^85756007^Tissue", "modifier": None}
    labels = {**hippocampus_task.labels}
    labels["anterior"] = labels["anterior"].model_copy(update=tissue)
    task = hippocampus_task.model_copy(update={"labels": labels})
    with pytest.raises(DataError, match="no label of task hippocampus: part 1"):
        values_of([line(1, 0)], [coded(1, "SCT^85756007")], task)
