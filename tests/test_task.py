import pytest
import yaml
from pydantic import ValidationError

from medseg import task as tasks
from medseg.errors import UsageError
from medseg.task import Task

LIVER = """
name: liver
title: Liver in CT
layout: decathlon
channels: {ct: ct}
labels:
  liver: {value: 1, colour: "#dd8265", code: SCT^10200004^Liver}
"""


def changed(**fields):
    return yaml.safe_dump({**yaml.safe_load(LIVER), **fields})


def label(value):
    return {"value": value, "colour": "#dd8265", "code": "SCT^10200004^Liver"}


def test_a_task_in_a_few_lines():
    task = tasks.parse(LIVER, where="liver.yaml")
    assert task.region_names == ("liver",)
    assert task.exclusive
    assert task.out_channels == 2  # background and liver
    assert task.title_of("liver") == "Liver"
    assert task.clinical == ("volumes",)
    assert task.labels["liver"].category == "SCT^123037004^Anatomical Structure"


def test_labels_come_in_the_order_of_their_values_with_colours_from_0_to_255():
    task = tasks.parse(changed(labels={"b": label(7), "a": label(2)}), where="a")
    assert [name for name, _ in task.ordered_labels] == ["a", "b"]
    assert task.labels["a"].rgb == (0xDD, 0x82, 0x65)


def test_a_structure_lies_where_it_says_or_else_where_the_task_says():
    region = {"anatomic_region": "SCT^818981001^Abdomen"}
    own = {"anatomic_region": "SCT^80891009^Heart"}
    labels = {"a": label(1), "b": {**label(2), **own}}
    task = tasks.parse(changed(labels=labels, **region), where="a")
    assert task.region_code_of(task.labels["a"]) == "SCT^818981001^Abdomen"
    assert task.region_code_of(task.labels["b"]) == "SCT^80891009^Heart"
    assert tasks.parse(changed(), where="a").region_code_of(task.labels["a"]) is None


def test_overlapping_regions_have_an_output_each(phantom_task):
    assert phantom_task.region_names == ("whole", "core", "innermost")
    assert not phantom_task.exclusive
    assert phantom_task.out_channels == 3
    assert phantom_task.labels_of("core") == ("mantle", "inner")
    assert phantom_task.regions_of("mantle") == ("whole", "core")


def test_labels_are_regions_of_their_own_if_none_are_given(hippocampus_task):
    assert hippocampus_task.region_names == ("anterior", "posterior")
    assert hippocampus_task.labels_of("anterior") == ("anterior",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (changed(name="Big Liver"), "name: String should match pattern"),
        (changed(labels={}), "labels: Dictionary should have at least 1 item"),
        (changed(channels={}), "channels: "),
        (changed(channels={"ct": "xray"}), r"channels\.ct: "),
        (changed(colour="red"), "colour: Extra inputs are not permitted"),
        (changed(labels={"liver": {**label(1), "colour": "red"}}), r"labels\.liver\.colour: "),
        (changed(labels={"liver": {**label(1), "code": "10200004"}}), r"labels\.liver\.code: "),
        (changed(labels={"liver": {**label(1), "code": "SCT^1^" + 65 * "a"}}), "code: "),
        (changed(labels={"liver": {**label(1), "code": "SCT^" + 17 * "1" + "^a"}}), "code: "),
        (changed(labels={"liver": {**label(1), "anatomic_region": "here"}}), "anatomic_region: "),
        (changed(labels={"liver": label(0)}), r"labels\.liver\.value: "),
        (changed(labels={"a": label(1), "b": label(1)}), r"label values \[1, 1\] repeat"),
        (changed(mirror_axes=["q"]), r"mirror_axes\.0: "),
        ("name: [", "while parsing"),
        ("", "the whole: "),
    ],
)
def test_a_wrong_field_is_named(text, reason):
    with pytest.raises(UsageError, match=rf"^my\.yaml: is not a task: .*{reason}") as caught:
        tasks.parse(text, where="my.yaml")
    assert "\n" not in str(caught.value)


def region(*labels):
    return {"labels": list(labels), "colour": "#dd8265", "code": "SCT^10200004^Liver"}


@pytest.mark.parametrize(
    ("regions", "reason"),
    [
        ({"all": region("a", "c")}, r"names \['c'\]; known are \['a', 'b'\]"),
        ({"all": region("a", "b")}, r"label a cannot be told from \['b'\]"),
        ({"all": region("a")}, "label b cannot be told from background"),
    ],
)
def test_regions_must_tell_the_labels_apart(regions, reason):
    with pytest.raises(UsageError, match=reason):
        tasks.parse(
            changed(labels={"a": label(1), "b": label(2)}, regions=regions), where="my.yaml"
        )


def test_a_task_is_found_by_its_name_or_its_file(tmp_path):
    assert "hippocampus" in tasks.names()
    assert tasks.read("hippocampus").name == "hippocampus"
    (tmp_path / "mine.yaml").write_text(LIVER)
    assert tasks.read(tmp_path / "mine.yaml").name == "liver"


@pytest.mark.parametrize("name", ["hipocampus", "absent.yaml"])
def test_an_unknown_task_is_refused_with_those_there_are(name):
    with pytest.raises(UsageError, match=r"Choose one of .*hippocampus, phantom"):
        tasks.read(name)


@pytest.mark.parametrize("name", tasks.names())
def test_what_is_written_reads_back_equal(name):
    task = tasks.read(name)
    assert tasks.parse(tasks.text(task), where="here") == task


def test_text_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "task.yaml"
    path.write_bytes("name: größe".encode("latin-1"))
    with pytest.raises(UsageError, match="UTF-8"):
        tasks.read(path)


def test_a_task_cannot_be_changed(hippocampus_task):
    with pytest.raises(ValidationError):
        hippocampus_task.name = "other"
    assert isinstance(hippocampus_task, Task)


def test_painting_names_a_label_for_every_region(phantom_task):
    document = phantom_task.model_dump()
    names = list(phantom_task.regions)
    wrong = {names[0]: next(iter(phantom_task.labels))}
    with pytest.raises(ValueError, match="must name a label for each of the regions"):
        tasks.Task.model_validate(document | {"painted": wrong})


def test_air_is_outside_in_ct_alone():
    assert tasks.parse(changed(outside="air"), where="").outside == "air"
    with pytest.raises(UsageError, match="air is for CT alone, and t1 is MR"):
        tasks.parse(changed(outside="air", channels={"ct": "ct", "t1": "mr"}), where="")
