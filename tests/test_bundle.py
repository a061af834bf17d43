import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from medseg import bundle as bundles
from medseg import files, networks
from medseg.errors import ModelError, OutputError
from medseg.experience import ChannelExperience, Experience, Spread

FILES = ("task.yaml", "plan.yaml", "weights.safetensors")


class Toy(nn.Module):
    """One convolution, so that bundles are small."""

    def __init__(self, *, in_channels, out_channels, width=1):
        super().__init__()
        self.layer = nn.Conv3d(in_channels, out_channels, width)


@pytest.fixture
def toy(monkeypatch, make_plan):
    """A plan for `Toy`, which the registry of networks then offers."""

    def build(name, **options):
        if name != "toy":
            raise ValueError(f"medseg.networks has no {name!r}; choose from ['toy']")
        return Toy(**options)

    monkeypatch.setattr(networks, "build", build)
    return make_plan(network={"name": "toy", "options": {"width": 1}})


@pytest.fixture
def weights():
    torch.manual_seed(3)
    return Toy(in_channels=1, out_channels=3).state_dict()


@pytest.fixture
def written(tmp_path, toy, weights, hippocampus_task):
    """A bundle in a folder whose name has blanks and letters beyond ASCII."""
    return bundles.write(tmp_path / "Läufe № 1" / "bundle", hippocampus_task, toy, weights)


def alter(path, change):
    """Rewrite a file, and its hash in the manifest, as its maker could."""
    path.write_bytes(change(path.read_bytes()))
    manifest = json.loads((path.parent / "manifest.json").read_text())
    manifest["sha256"][path.name] = files.sha256(path)
    (path.parent / "manifest.json").write_text(json.dumps(manifest))


def test_what_is_written_is_read_back(written, weights):
    found = bundles.read(written.folder)
    assert found == written
    network = found.build_network()
    assert not network.training
    assert network.state_dict().keys() == weights.keys()
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name])


def test_a_run_folder_is_as_good_as_the_bundle_in_it(written):
    assert bundles.read(written.folder.parent) == written


def test_a_rounded_bundle_is_half_as_large_and_off_by_a_rounding(written, weights, tmp_path):
    small = bundles.rounded(written, tmp_path / "small", card="# A card\n")
    assert bundles.read(small.folder) == small
    assert small.card == "# A card\n"
    assert written.card is None
    assert load_file(small.weights)["layer.weight"].dtype == torch.bfloat16
    for name, value in small.build_network().state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, weights[name].bfloat16().float())
        assert not torch.equal(value, weights[name])
    assert bundles.read(written.folder) == written


def test_whole_numbers_are_not_rounded(written, tmp_path):
    counts = {"count": torch.tensor(257), "weight": torch.tensor(257.0)}
    found = bundles.write(tmp_path / "b", written.task, written.plan, counts, half=True)
    assert found.read_weights() == {"count": torch.tensor(257), "weight": torch.tensor(256.0)}


def test_a_card_that_was_altered_is_noticed(written, tmp_path):
    small = bundles.rounded(written, tmp_path / "small", card="Dice 0.86")
    (small.folder / bundles.CARD).write_text("Dice 0.99")
    with pytest.raises(ModelError, match="altered"):
        bundles.read(small.folder)


def test_a_bundle_can_be_moved(written, tmp_path):
    moved = written.folder.rename(tmp_path / "elsewhere")
    assert bundles.read(moved) == replace(written, folder=moved)


def test_a_bundle_can_be_written_again_in_its_place(written, weights):
    changed = {name: value + 1 for name, value in weights.items()}
    bundles.write(written.folder, written.task, written.plan, changed)
    found = bundles.read(written.folder).build_network().state_dict()
    assert all(torch.equal(found[name], changed[name]) for name in changed)


def test_a_real_network_comes_back(tmp_path, make_plan, hippocampus_task):
    torch.manual_seed(0)
    network = networks.build("swin_unetr", in_channels=1, out_channels=3, features=12).eval()
    written = bundles.write(tmp_path, hippocampus_task, make_plan(), network.state_dict())
    found = bundles.read(tmp_path).build_network()
    weights = network.state_dict()
    assert found.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in found.state_dict().items())
    assert written.plan == make_plan()


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_anywhere_is_noticed(written, name):
    path = written.folder / name
    content = path.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 50)):
        broken = bytearray(content)
        broken[place] ^= 1
        path.write_bytes(broken)
        with pytest.raises(ModelError, match=f"{name}: is missing or was altered since training"):
            bundles.read(written.folder)


def test_a_flipped_bit_in_the_manifest_changes_no_more_than_the_version_it_tells(written):
    path = written.folder / "manifest.json"
    content = path.read_bytes()
    for place in range(len(content)):
        broken = bytearray(content)
        broken[place] ^= 1
        path.write_bytes(broken)
        try:
            assert bundles.read(written.folder) == written
        except ModelError:
            continue
        kept = json.loads(broken)
        kept["medseg"] = json.loads(content)["medseg"]
        kept = {name: value for name, value in kept.items() if name != "ledseg"}
        assert kept == json.loads(content) or b"medseg" not in broken


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(written, name):
    (written.folder / name).unlink()
    with pytest.raises(ModelError, match=rf"{name}: is missing .*\. Copy the bundle anew"):
        bundles.read(written.folder)


def test_a_file_that_was_cut_off_is_refused(written):
    path = written.folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="altered"):
        bundles.read(written.folder)


@pytest.mark.parametrize("make", [True, False])
def test_a_folder_without_model_is_refused(tmp_path, make):
    place = tmp_path / "run"
    if make:
        place.mkdir()
    with pytest.raises(ModelError, match=r"run: holds no trained model\. Give the folder"):
        bundles.read(place)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"format": 1}', '{"format": "1", "sha256": {}}']
)
def test_a_damaged_manifest_is_refused(written, text):
    (written.folder / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=r"manifest\.json: is damaged"):
        bundles.read(written.folder)


@pytest.mark.parametrize("rest", [{"sha256": {}}, {"files": ["weights.bin"]}])
def test_a_newer_format_is_refused_whatever_it_looks_like(written, rest):
    manifest = {"format": bundles.FORMAT + 1, "medseg": "9.1", **rest}
    (written.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=r"made by medseg 9\.1, which is newer .*Update medseg"):
        bundles.read(written.folder)


@pytest.mark.parametrize("name", ["task.yaml", "plan.yaml"])
def test_a_field_that_only_another_medseg_knows_is_a_fault_of_the_model(written, name):
    alter(written.folder / name, lambda content: content + b"field_of_the_future: 1\n")
    with pytest.raises(ModelError, match=rf"{name}: was made by another medseg: .*future"):
        bundles.read(written.folder)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (open, (str(self.place), "w"))


def test_a_pickle_in_place_of_the_weights_is_never_unpickled(written, tmp_path):
    trace = tmp_path / "trace"
    alter(written.folder / "weights.safetensors", lambda _: pickle.dumps(Trap(trace)))
    with pytest.raises(ModelError, match=r"weights\.safetensors: does not fit toy"):
        bundles.read(written.folder).build_network()
    assert not trace.exists()


def test_a_checkpoint_of_torch_in_place_of_the_weights_is_refused(written, weights, tmp_path):
    torch.save(weights, tmp_path / "weights.pt")
    content = (tmp_path / "weights.pt").read_bytes()
    alter(written.folder / "weights.safetensors", lambda _: content)
    with pytest.raises(ModelError, match="does not fit toy"):
        bundles.read(written.folder).build_network()


def test_weights_that_vanish_after_reading_are_refused(written):
    (written.folder / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match="does not fit toy"):
        written.build_network()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: {"layer.weight": weights["layer.weight"]}, "layer.bias"),
        (lambda weights: weights | {"layer.more": torch.zeros(1)}, "layer.more"),
        (lambda weights: weights | {"layer.bias": torch.zeros(7)}, "layer.bias"),
    ],
)
def test_weights_of_another_network_are_refused(written, weights, change, message):
    bundles.write(written.folder, written.task, written.plan, change(weights))
    with pytest.raises(ModelError, match=f"does not fit toy: .*{message}"):
        bundles.read(written.folder).build_network()


@pytest.mark.parametrize(
    "network", [{"name": "of_tomorrow"}, {"name": "toy", "options": {"depth": 3}}]
)
def test_a_network_that_this_medseg_lacks_is_refused(written, weights, make_plan, network):
    bundles.write(written.folder, written.task, make_plan(network=network), weights)
    with pytest.raises(
        ModelError, match=r"needs a (toy|of_tomorrow) that this medseg cannot build"
    ):
        bundles.read(written.folder).build_network()


def test_an_interrupted_write_leaves_the_older_bundle(written, weights, monkeypatch):
    def interrupted(path, _):
        if path.name == "weights.safetensors":
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bundles.write(written.folder, written.task, written.plan, weights)
    assert bundles.read(written.folder).plan == written.plan  # the older one is still there


def test_a_swap_that_fails_brings_the_older_bundle_back(written, weights, monkeypatch):
    rename = Path.rename

    def blocked(self, target):
        if self.name.startswith(".partial-"):
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", blocked)
    with pytest.raises(OutputError, match="permission denied"):
        bundles.write(written.folder, written.task, written.plan, weights)
    assert bundles.read(written.folder).plan == written.plan


def test_a_network_whose_package_is_missing_says_which(written, monkeypatch):
    def missing(*_args, **_kwargs):
        raise ModuleNotFoundError("No module named 'x'", name="dynamic_network_architectures")

    monkeypatch.setattr("medseg.networks.build", missing)
    with pytest.raises(ModelError, match="dynamic_network_architectures, which is not installed"):
        written.build_network()


def test_an_interrupted_first_write_is_no_bundle(tmp_path, written, weights, monkeypatch):
    def full(_path, _content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(OutputError, match="no space left"):
        bundles.write(tmp_path / "new", written.task, written.plan, weights)
    with pytest.raises(ModelError, match="holds no trained model"):
        bundles.read(tmp_path / "new")


def test_weights_are_stored_whatever_their_layout_in_memory(written, weights):
    value = torch.arange(6.0).reshape(2, 3).T
    part = torch.arange(10.0)[3:5]
    stored = weights | {"turned": value, "part": part, "tied": part}
    bundles.write(written.folder, written.task, written.plan, stored)
    from safetensors.torch import load_file

    found = load_file(written.folder / "weights.safetensors")
    assert torch.equal(found["turned"], value)
    assert found["part"].tolist() == found["tied"].tolist() == [3.0, 4.0]


@pytest.fixture
def experience():
    """What a model has seen of one case."""
    one = Spread(lowest=1, middle=1, highest=1)
    channel = ChannelExperience(minimum=one, zero_share=one, levels=(one,) * 7)
    sides = (one, one, one)
    return Experience(cases=1, spacing_mm=sides, extent_mm=sides, channels={"t1": channel})


def test_experience_is_kept_and_older_bundles_have_none(written, toy, weights, experience):
    assert bundles.read(written.folder).experience is None
    task = written.task
    made = bundles.write(written.folder, task, toy, weights, experience=experience)
    assert made.experience == experience
    assert bundles.read(written.folder) == made
    (written.folder / "experience.yaml").write_text("cases: 2")
    with pytest.raises(ModelError, match=r"experience\.yaml: is missing or was altered"):
        bundles.read(written.folder)


def test_equal_models_have_equal_hashes(written, toy, weights, tmp_path):
    same = bundles.write(tmp_path / "same", written.task, toy, weights)
    assert same.hash == written.hash
    changed = {name: value + 1 for name, value in weights.items()}
    other = bundles.write(tmp_path / "other", written.task, toy, changed)
    assert other.hash != written.hash
