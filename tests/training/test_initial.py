"""Weights to begin with, from a model and from files."""

import shutil
import warnings

import pytest
import torch
from safetensors.torch import save_file

from medseg import networks
from medseg.errors import ModelError, UsageError
from medseg.training.initial import begin_with, read

OPTIONS = {"features": 12, "depths": (1, 1, 1, 1), "window": (3, 3, 3)}


def small(**changes):
    return networks.build(
        "swin_unetr", **{"in_channels": 1, "out_channels": 3, **OPTIONS, **changes}
    )


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["pt", "pth", "safetensors"])
def test_a_file_of_weights_fills_the_network(tmp_path, kind):
    theirs, ours = small(), small()
    path = tmp_path / f"wéights.{kind}"
    if kind == "safetensors":
        save_file(theirs.state_dict(), path)
    else:
        torch.save({"epoch": 1, "state_dict": theirs.state_dict()}, path)
    report = begin_with(ours, path)
    assert (report.missing, report.unexpected) == ((), ())
    assert same(ours, theirs)


def test_a_model_with_other_labels_fills_all_but_the_head(untrained):
    theirs = untrained.build_network()
    ours = networks.build(
        "swin_unetr", in_channels=1, out_channels=5, **untrained.plan.network.options
    )
    report = begin_with(ours, untrained.folder)
    assert report.missing == ("out.conv.conv.weight", "out.conv.conv.bias")
    assert torch.equal(
        ours.encoder1.layer.conv1.conv.weight, theirs.encoder1.layer.conv1.conv.weight
    )


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"a.weight": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match=r"other\.pt: these weights do not fit SwinUNETR"):
        begin_with(small(), tmp_path / "other.pt")


def test_a_place_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read(tmp_path / "nothing.pt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no trained model"):
        read(tmp_path / "empty")


@pytest.mark.parametrize("name", ["noise.pt", "noise.safetensors"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(UsageError, match="no weights that can be read"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    "beginning", [b"hello", b"(", b"}", b"0", b"{", b"<html>", b"\x80\x02", b"PK\x03\x04", b""]
)
def test_whatever_a_file_begins_with_the_reason_is_ours(tmp_path, beginning):
    (tmp_path / "some.pt").write_bytes(beginning + b" text, version https://git-lfs\n")
    with pytest.raises(UsageError, match=r"some\.pt: holds no weights.*not written by torch"):
        read(tmp_path / "some.pt")


@pytest.mark.parametrize("content", [[1, 2], 5, {"epoch": 3}, {1: torch.ones(2)}, {}])
def test_a_checkpoint_without_weights_by_name_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(UsageError, match="no weights that can be read"):
        read(tmp_path / "other.pt")


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Harmful:
        def __reduce__(self):
            return shutil.rmtree, (str(tmp_path / "victim"),)

    (tmp_path / "victim").mkdir()
    torch.save({"state_dict": Harmful()}, tmp_path / "harm.pt")
    with pytest.raises(UsageError, match="no weights that can be read") as refused:
        read(tmp_path / "harm.pt")
    assert "weights_only" not in str(refused.value)
    assert (tmp_path / "victim").is_dir()


def test_pretraining_of_the_encoder_is_loaded_as_monai_loads_it(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's import
        from monai.networks.nets import SwinUNETR
    torch.manual_seed(3)
    pretrained = SwinUNETR(1, 2, feature_size=12)
    published = {}  # as the file of the pre-training names them
    for name, value in pretrained.swinViT.state_dict().items():
        name = name.replace("mlp.linear1", "mlp.fc1").replace("mlp.linear2", "mlp.fc2")
        published[f"module.{name}"] = value
    published["module.rotation_head.weight"] = torch.ones(4, 192)
    torch.save({"state_dict": published}, tmp_path / "model_swinvit.pt")
    theirs = SwinUNETR(1, 2, feature_size=12)
    theirs.load_from({"state_dict": published})

    ours = networks.build(
        "swin_unetr", in_channels=1, out_channels=2, features=12, merging="legacy"
    )
    report = begin_with(ours, tmp_path / "model_swinvit.pt")
    assert report.missing == ()
    assert report.unexpected == ("rotation_head.weight",)
    for name, value in theirs.swinViT.named_parameters():
        assert torch.equal(ours.swinViT.get_parameter(name), value), name


def test_pretraining_needs_the_merging_it_was_made_with(tmp_path):
    other = networks.build("swin_unetr", in_channels=1, out_channels=2, features=12)
    state = {f"module.{k}": v for k, v in other.swinViT.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "model_swinvit.pt")
    with pytest.raises(UsageError, match=r"network\.options\.merging=legacy"):
        begin_with(other, tmp_path / "model_swinvit.pt")
