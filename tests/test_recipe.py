import pytest
import yaml

from medseg import recipe as recipes
from medseg.errors import UsageError
from medseg.recipe import Augmentation, Inference, Recipe, Training


def test_the_default_recipe_says_what_the_code_says():
    assert recipes.read("default") == Recipe()


def test_the_default_recipe_shows_every_field():
    document = yaml.safe_load(yaml.safe_dump(recipes.read("default").model_dump(mode="json")))
    text = (recipes.resources.folder("configs/recipes") / "default.yaml").read_text()
    assert yaml.safe_load(text) == document


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_that_comes_with_medseg_is_valid(name):
    assert isinstance(recipes.read(name), Recipe)


def test_recipes_of_papers_use_the_momentum_of_their_code():
    # nnFormer's code asks for Nesterov's; that of DS-TransUNet does not
    assert recipes.read("d_former").training.nesterov
    assert not recipes.read("ds_transunet").training.nesterov


def test_a_recipe_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match=r"no recipe 'magic'\. Choose one of .*default"):
        recipes.read("magic")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("training.learning_rate=0.0003", 0.0003),
        ("training.learning_rate=1e-3", 0.001),
        ("training.learning_rate=3E-4", 0.0003),
        (" training.learning_rate = 2e-2 ", 0.02),
    ],
)
def test_numbers_are_read_in_every_notation(setting, expected):
    assert recipes.read("default", (setting,)).training.learning_rate == expected


def test_settings_reach_every_level_and_the_last_one_counts():
    settings = (
        "patch=[16, 24, 32]",
        "training.batch=4",
        "training.batch=auto",
        "training.augmentation.noise=0",
        "network.options.features=24",
        "network.options.name=relu",
        "training.decay=poly",
    )
    found = recipes.read("default", settings)
    assert found.patch == (16, 24, 32)
    assert found.training.batch == "auto"
    assert found.training.augmentation == Augmentation(noise=0)
    assert found.network.options == {"features": 24, "name": "relu"}
    assert found.training == Training(decay="poly", augmentation=Augmentation(noise=0))


def test_a_setting_leaves_the_shipped_recipe_as_it_was():
    recipes.read("default", ("training.epochs=2",))
    assert recipes.read("default").training.epochs == 300


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.epochs", r"'training\.epochs' has no '='"),
        ("training.epoch=3", r"training\.epoch: Extra inputs are not permitted, got 3"),
        ("nothing=3", r"nothing: Extra inputs"),
        ("training.epochs.first=3", r"names nothing: epochs is a value"),
        ("training.epochs=0", r"training\.epochs: .* greater than or equal to 1, got 0"),
        ("training.batch=many", r"training\.batch: .* integer, .* got 'many'"),
        ("training.learning_rate=0", r"training\.learning_rate: .* greater than 0"),
        ("training.learning_rate=1e999", r"training\.learning_rate: .* finite"),
        ("training.learning_rate=.nan", r"training\.learning_rate: .* finite"),
        ("training.seed=-1", r"training\.seed: .* greater than or equal to 0"),
        ("training.decay=steep", r"training\.decay: .* 'cosine' or 'poly', got 'steep'"),
        ("training.augmentation.gamma=0", r"training\.augmentation\.gamma"),
        ("training.augmentation.scale=1", r"training\.augmentation\.scale"),
        ("patch=[8, 8]", r"patch\.2: Field required"),
        ("patch=[0, 8, 8]", r"patch\.0: .* greater than or equal to 1"),
        ("patch=large", r"patch: "),
        ("spacing_mm=[1, 0, 1]", r"spacing_mm\.1: .* greater than 0"),
        ("inference.overlap=1", r"inference\.overlap: .* less than 1"),
        ("patch=[8, 8", r"patch=\[8, 8: is not YAML: .*\. Close every bracket"),
        ("network.name='ne", "network.name='ne: is not YAML"),
        ("training=3", "training: .* got 3"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(setting, message):
    with pytest.raises(UsageError, match=message):
        recipes.read("default", (setting,))


def test_without_a_network_the_default_recipe_is_read():
    assert recipes.for_network(None, ("training.epochs=7",)).training.epochs == 7
    assert recipes.for_network(None).network.name == "swin_unetr"


def test_a_network_is_put_into_the_recipe():
    found = recipes.for_network("brand_new", ("training.epochs=7",))
    assert found.network.name == "brand_new"
    assert found.training.epochs == 7


def test_a_network_is_trained_as_its_paper_did_unless_another_recipe_is_named():
    found = recipes.for_network("d_former")
    assert (found.network.name, found.training.optimizer) == ("d_former", "sgd")
    assert recipes.for_network("d_former", name="default").training.optimizer == "adamw"
    changed = recipes.for_network("d_former", ("training.optimizer=adamw", "training.epochs=3"))
    assert (changed.training.optimizer, changed.training.epochs) == ("adamw", 3)
    assert changed.training.weight_decay == found.training.weight_decay


@pytest.mark.parametrize("network", [None, "res_enc_unet"])
def test_what_has_no_recipe_of_its_own_has_that_for_all(network):
    assert recipes.for_network(network).training == recipes.read("default").training


@pytest.mark.parametrize("name", sorted(set(recipes.names()) - {"default"}))
def test_the_recipe_of_a_paper_names_its_network(name):
    assert recipes.for_network(name) == recipes.read(name)
    assert recipes.for_network(None, name=name).network.name == name
    assert recipes.for_network("brand_new", name=name).network.name == "brand_new"


def test_an_empty_recipe_is_the_default_one(tmp_path, monkeypatch):
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    monkeypatch.setattr(recipes.resources, "folder", lambda _: tmp_path)
    assert recipes.read("empty") == Recipe()


def test_a_plan_comes_back_from_its_text(make_plan):
    plan = make_plan(
        patch=(8, 16, 24),
        spacing_mm=(0.1, 1 / 3, 5.0),
        windows={"ct": {"lower": -1e-7, "upper": 300.5, "mean": 12.0, "deviation": 1e22}},
        network={"name": "own", "options": {"depths": [1, 2], "name": "grün", "rate": 1e-4}},
        precision="bfloat16",
        training=Training(learning_rate=1e-7, seed=2**40),
        inference=Inference(overlap=0.25, batch=3),
    )
    assert recipes.read_plan(recipes.plan_text(plan), where="here") == plan


def test_a_plan_carries_remarks_above_its_fields(make_plan):
    plan = make_plan(patch=(8, 16, 24))
    text = recipes.plan_text(plan, {"patch": "Since it fits. " * 12, "spacing_mm": "Asked for."})
    lines = text.splitlines()
    place = lines.index("patch: [8, 16, 24]")
    assert lines[place - 1].startswith("# ")
    assert lines[place - 2].startswith("# Since it fits.")
    assert max(map(len, lines)) <= 100
    assert recipes.read_plan(text, where="here") == plan


def test_a_plan_that_was_changed_is_read_with_settings(make_plan):
    text = recipes.plan_text(make_plan(batch=2)).replace("batch: 2", "batch: 6")
    found = recipes.changed_plan(text, ("training.epochs=7", "patch=[8,8,16]"), where="here")
    assert (found.batch, found.training.epochs, found.patch) == (6, 7, (8, 8, 16))
    assert found.network == make_plan().network


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.batch=4", r"mine\.yaml: training\.batch is 4, and batch is 2\. Leave out"),
        ("training.precision=bfloat16", "precision is bfloat16, and precision is float32"),
        ("spacing_mm=[1, 1]", r"mine\.yaml: spacing_mm\.2: Field required"),
        ("patches=[8,8,8]", r"patches: Extra inputs .* choose from network, patch, spacing_mm"),
        ("training.epoch=3", r"training\.epoch: Extra inputs .* choose from epochs, .*seed"),
        ("training.augmentation.mirror=1", r"choose from rotate_degrees, .*slices_across"),
        ("batch=auto", r"batch: .* integer"),
    ],
)
def test_a_wrong_plan_is_refused_with_place_and_remedy(make_plan, setting, message):
    text = recipes.plan_text(make_plan(batch=2))
    with pytest.raises(UsageError, match=message) as told:
        recipes.changed_plan(text, (setting,), where="mine.yaml")
    assert "medseg plan" in str(told.value) or "Leave out" in str(told.value)


def test_a_mistyped_field_is_named_and_not_what_surrounds_it(make_plan):
    text = recipes.plan_text(make_plan(batch=2))
    with pytest.raises(UsageError, match=r"batchh: Extra inputs .* got 2; choose from .*batch"):
        recipes.changed_plan(text.replace("batch: 2", "batchh: 2"), (), where="mine.yaml")
    with pytest.raises(UsageError, match=r"mine\.yaml: batch: Field required\. Correct"):
        recipes.changed_plan(text.replace("batch: 2\n", ""), (), where="mine.yaml")


def test_a_text_that_is_no_mapping_is_no_plan():
    with pytest.raises(UsageError, match=r"mine\.yaml: the whole"):
        recipes.changed_plan("[1, 2]", ("batch=2",), where="mine.yaml")


def test_the_text_of_a_plan_names_every_field(make_plan):
    document = yaml.safe_load(recipes.plan_text(make_plan()))
    assert document["training"]["augmentation"]["gamma"] == 1.4
    assert not {"batch", "steps_per_epoch", "precision"} & document["training"].keys()
    assert document["inference"] == {"overlap": 0.5, "batch": 1, "blend": "gaussian"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the whole: "),
        ("just text", "the whole: "),
        ("{", "is not YAML"),
        ("batch: auto", "network: Field required"),
    ],
)
def test_a_text_that_is_no_plan_is_refused_with_its_file(text, message):
    with pytest.raises(UsageError, match=rf"plan\.yaml: {message}"):
        recipes.read_plan(text, where="plan.yaml")


def test_a_recipe_can_be_asked_for_by_name():
    found = recipes.for_network("brand_new", name="default")
    assert found.network.name == "brand_new"
    with pytest.raises(UsageError, match="no recipe 'huge'"):
        recipes.for_network("swin_unetr", name="huge")
