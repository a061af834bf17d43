"""Every shipped task and recipe is sound, and every task has its data card."""

import importlib
import importlib.util
import re

import pytest
import torch
import yaml
from pydicom.sr.codedict import codes

from medseg import registry, resources
from medseg import task as tasks
from medseg.data import layouts
from medseg.data.drafts import card_facts

CARDS = [name for name in resources.names("data_cards", ".md") if name != "TEMPLATE"]
HAS_RECIPES = importlib.util.find_spec("medseg.recipe") is not None
RECIPES = importlib.import_module("medseg.recipe").names() if HAS_RECIPES else []


def front_matter(name):
    text = (resources.folder("data_cards") / f"{name}.md").read_text(encoding="utf-8")
    found = re.match(r"---\n(.*?)\n---\n(.+)", text, flags=re.DOTALL)
    assert found, f"data_cards/{name}.md needs front matter and a text"
    return yaml.safe_load(found[1])


def test_every_task_has_its_data_card_and_every_card_its_task():
    assert tasks.names() == CARDS


@pytest.mark.parametrize("name", [*CARDS, "TEMPLATE"])
def test_a_card_names_its_task_and_its_licence(name):
    fields = front_matter(name)
    assert fields["task"] == (name if name != "TEMPLATE" else "name_of_the_task")
    assert fields["licence"]


@pytest.mark.parametrize("name", CARDS)
def test_a_card_says_of_the_data_what_the_task_says(name):
    told = card_facts(tasks.read(name))
    assert {key: front_matter(name)[key] for key in told} == told


@pytest.mark.parametrize("name", tasks.names())
def test_the_layout_of_a_task_exists(name):
    assert tasks.read(name).layout in registry.names(layouts)


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_parses_and_is_named_as_its_file(name):
    assert tasks.read(name).name == name


# What DICOM's own dictionary calls otherwise, or lacks.
OTHER_WORDS = {
    "49755003": "Morphologically Altered Structure",  # as 3D Slicer has it
    "123037004": "Anatomical Structure",  # as 3D Slicer has it
    "110765007": "Portal vein and splenic vein",  # as TotalSegmentator and MONAI have it
    "cavity": "Resection cavity",  # of the scheme 99MEDSEG, our own
}

# The codes of BraTS, Synapse, ACDC and the hippocampus in 3D Slicer's lists and DICOM's.
KNOWN = {
    "hippocampus": {
        "anterior": "SCT^5366008 SCT^255549009",
        "posterior": "SCT^5366008 SCT^255551008",
    },
    "acdc": {
        "right_ventricle": "SCT^53085002",
        "myocardium": "SCT^49848007",
        "left_ventricle": "SCT^87878005",
    },
    "brats": {
        "necrosis": "SCT^6574001",
        "oedema": "SCT^79654002",
        "enhancing": "NCIt^C113842",
        "whole_tumour": "SCT^108369006",
        "tumour_core": "SCT^4147007",
        "enhancing_tumour": "NCIt^C113842",
    },
    "synapse_13": {
        "spleen": "SCT^78961009",
        "right_kidney": "SCT^64033007 SCT^24028007",
        "left_kidney": "SCT^64033007 SCT^7771000",
        "gallbladder": "SCT^28231008",
        "oesophagus": "SCT^32849002",
        "liver": "SCT^10200004",
        "stomach": "SCT^69695003",
        "aorta": "SCT^15825003",
        "inferior_vena_cava": "SCT^64131007",
        "portal_and_splenic_vein": "SCT^110765007",
        "pancreas": "SCT^15776009",
        "right_adrenal_gland": "SCT^23451007 SCT^24028007",
        "left_adrenal_gland": "SCT^23451007 SCT^7771000",
    },
}
REGIONS = {"hippocampus": "12738006", "brats": "12738006", "acdc": "80891009"}


@pytest.mark.parametrize("name", KNOWN)
def test_structures_have_the_codes_that_others_give_them(name):
    task = tasks.read(name)
    structures = {**task.labels, **task.regions}
    found = {
        key: " ".join(code.rpartition("^")[0] for code in (each.code, each.modifier) if code)
        for key, each in structures.items()
    }
    assert found == KNOWN[name]
    if name in REGIONS:
        assert task.anatomic_region.split("^")[1] == REGIONS[name]


def test_tasks_of_the_same_organs_code_them_alike():
    for fewer, more in (("synapse", "synapse_13"), ("brats", "brats_2024")):
        known, wanted = tasks.read(more).labels, tasks.read(fewer).labels
        pairs = [(known[key], wanted[key]) for key in wanted]
        assert [a.code for a, _ in pairs] == [b.code for _, b in pairs]
        assert [a.modifier for a, _ in pairs] == [b.modifier for _, b in pairs]


@pytest.mark.parametrize("name", tasks.names())
def test_codes_mean_what_they_say(name):
    task = tasks.read(name)
    structures = [*task.labels.values(), *task.regions.values()]
    written = {task.anatomic_region} | {
        code
        for structure in structures
        for code in (structure.category, structure.code, structure.modifier)
    }
    for scheme, value, meaning in (code.split("^") for code in written if code):
        if value in OTHER_WORDS:
            assert meaning == OTHER_WORDS[value]
        else:
            keyword = meaning.title().replace(" ", "")
            assert getattr(getattr(codes, scheme), keyword).value == value


@pytest.mark.parametrize("name", tasks.names())
def test_structures_can_be_told_apart_by_colour(name):
    colours = [label.colour for label in tasks.read(name).labels.values()]
    assert len(set(colours)) == len(colours)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_parses_and_its_network_builds(name):
    recipe = importlib.import_module("medseg.recipe").read(name)
    networks = importlib.import_module("medseg.networks")
    with torch.device("meta"):
        network = networks.build(
            recipe.network.name, in_channels=2, out_channels=3, **recipe.network.options
        )
    assert sum(weight.numel() for weight in network.parameters()) > 0
