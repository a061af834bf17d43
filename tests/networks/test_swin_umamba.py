"""Swin-UMamba beside the published one; what that lacks beside what can be worked out otherwise."""

import re

import pytest
import torch
from torch.nn import functional

from medseg import networks
from medseg.networks import swin_umamba
from medseg.networks.swin_umamba import Stem, SwinUMamba
from tests import golden

TINY = {"features": 8, "depths": (1, 1, 2, 1), "stem_kernel": 3, "states": 2, "drop_path": 0.0}
FLAT = {
    "stem_kernel": (1, 7, 7),
    "stem_stride": (1, 2, 2),
    "patch_embedding": (1, 2, 2),
    "strides": ((1, 2, 2),) * 3,
    "kernel": (1, 3, 3),
    "scan_orders": ("ijk", "ikj"),
}


def tiny(**options):
    torch.manual_seed(0)
    light = {"stem_kernel": None} if options.get("decoder") == "mamba" else {}
    return SwinUMamba(in_channels=1, out_channels=2, **{**TINY, **light, **options})


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("size", "name"), [("published", "swin_umamba_2d"), ("published_light", "swin_umamba_d_2d")]
)
def test_the_published_weights_give_the_published_logits(real_data, size, name):
    folder = real_data / "golden"
    state = golden.state(folder, name)
    network = networks.build("swin_umamba", in_channels=1, out_channels=14, size=size).eval()
    report = networks.load_published(network, state)
    assert len(report.matched) == len(state)
    assert not report.missing
    assert not report.unexpected
    image, stored = golden.image(folder, name), golden.outputs(folder, name)
    with torch.no_grad():
        scales = network.deep_supervision(image)
        assert torch.equal(network(image), scales[0])
    assert len(scales) == 4
    for n, logits in enumerate(scales):
        expected = torch.from_numpy(stored[f"scale{n}"])[:, :, None]
        assert (logits - expected).norm() / expected.norm() < 1e-4


@pytest.mark.parametrize(
    ("size", "count"), [("published", 59_889_368), ("published_light", 27_497_720)]
)
def test_parameters_are_as_many_as_published(size, count):
    with torch.device("meta"):
        network = networks.build("swin_umamba", in_channels=1, out_channels=14, size=size)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("decoder", ["convolution", "mamba"])
def test_thick_slices_keep_their_number_under_strides_of_their_own(decoder):
    network = tiny(
        decoder=decoder,
        stem_stride=(1, 2, 2),
        patch_embedding=(1, 2, 2),
        strides=((1, 2, 2), 2, (2, 1, 2)),
        kernel=(1, 3, 3),
    )
    scales = [tuple(scale.shape[1:]) for scale in network.encode(torch.randn(1, 1, 5, 40, 64))]
    stem = [(4, 5, 20, 32)] if decoder == "convolution" else []
    assert scales == [*stem, (8, 5, 10, 16), (16, 5, 5, 8), (32, 3, 3, 4), (64, 2, 3, 2)]
    logits = network(torch.randn(2, 1, 6, 39, 50))
    assert logits.shape == (2, 2, 6, 39, 50)
    logits.sum().backward()


@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 7, 7)])
def test_the_stem_normalises_each_case_and_feature(kernel):
    torch.manual_seed(0)
    stem = Stem(2, 3, kernel=kernel, stride=(1, 2, 2))
    with torch.no_grad():
        stem.norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        stem.norm.bias.copy_(torch.tensor([0.0, -1.0, 1.0]))
    image = torch.randn(2, 2, 4, 7, 6)
    half = tuple(width // 2 for width in kernel)
    convolved = functional.conv3d(image, stem.conv.weight, stem.conv.bias, (1, 2, 2), half)
    expected = functional.instance_norm(convolved, weight=stem.norm.weight, bias=stem.norm.bias)
    torch.testing.assert_close(stem(image), expected)


@pytest.mark.parametrize("decoder", ["convolution", "mamba"])
def test_the_hook_may_replace_the_embedded_tokens(decoder):
    network = tiny(decoder=decoder)
    blank, image = (
        network.encode(volume, after_embedding=torch.zeros_like)[-4:]
        for volume in (torch.zeros(1, 1, 24, 24, 24), torch.randn(1, 1, 24, 24, 24))
    )
    for a, b in zip(blank, image, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("decoder", ["convolution", "mamba"])
def test_checkpointing_changes_no_gradient(decoder):
    network, saving = tiny(decoder=decoder), tiny(decoder=decoder, checkpointing=True)
    saving.load_state_dict(network.state_dict())
    image = torch.randn(1, 1, 16, 20, 24)
    for n in (network, saving):
        n(image).square().mean().backward()
    for a, b in zip(network.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_dropped_paths_matter_in_training_only():
    network = tiny(drop_path=0.5)
    image = torch.randn(4, 1, 16, 16, 16)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))
    rates = [b.drop_path.probability for layer in network.vssm_encoder.layers for b in layer.blocks]
    torch.testing.assert_close(torch.tensor(rates), torch.tensor([0.0, 0.125, 0.25, 0.375, 0.5]))


@pytest.mark.parametrize("size", [(16, 24, 32), (5, 9, 33), (1, 20, 40), (1, 1, 1)])
def test_the_light_variant_takes_any_size(size):
    network = tiny(decoder="mamba").train()
    image = torch.randn(2, 1, *size)
    scales = network.deep_supervision(image)
    assert scales[0].is_contiguous()
    assert torch.equal(scales[0], network(image))
    quarter = [-(-n // 4) for n in size]
    eighth = [-(-n // 2) for n in quarter]
    sixteenth = [-(-n // 2) for n in eighth]
    expected = [list(size), quarter, eighth, sixteenth]
    assert [list(logits.shape) for logits in scales] == [[2, 2, *grid] for grid in expected]


def vmamba_of(network):
    """The encoder's weights under VMamba's names, with what VMamba has besides."""
    state = {}
    for name, weight in network.vssm_encoder.state_dict().items():
        theirs = name.replace(".norm.", ".ln_1.") if name.startswith("layers") else name
        theirs = theirs.replace(".mixer.conv.", ".self_attention.conv2d.")
        theirs = theirs.replace(".mixer.", ".self_attention.")
        theirs = re.sub(r"downsamples\.(\d)", r"layers.\1.downsample", theirs)
        flat = weight[:, :, 0] if weight.ndim == 5 else weight
        state[theirs] = torch.randn_like(flat)
    state["patch_embed.proj.weight"] = torch.randn(8, 3, 4, 4)
    return {**state, "norm.weight": torch.ones(64), "head.weight": torch.ones(10, 64)}


def test_vmamba_fills_the_encoder_behind_the_patch_embedding():
    network = tiny(**FLAT)
    embedding = network.vssm_encoder.patch_embed.proj.weight.clone()
    state = vmamba_of(network)
    report = networks.load_published(network, state)
    assert not report.missing
    assert len(report.matched) == 5 * 13 + 3 * 3  # blocks and mergings
    assert sorted(report.unexpected) == sorted(
        [n for n in state if n.startswith("patch_embed.")] + ["norm.weight", "head.weight"]
    )
    mixer = network.vssm_encoder.layers[2].blocks[1].mixer
    own = "layers.2.blocks.1.self_attention"
    assert torch.equal(mixer.x_proj_weight, state[f"{own}.x_proj_weight"])
    assert torch.equal(mixer.conv.weight[:, :, 0], state[f"{own}.conv2d.weight"])
    merging = network.vssm_encoder.downsamples[1].reduction.weight
    assert torch.equal(merging, state["layers.1.downsample.reduction.weight"])
    assert torch.equal(network.vssm_encoder.patch_embed.proj.weight, embedding)


def test_vmamba_is_inflated_for_volumes():
    network = tiny()
    state = vmamba_of(tiny(**FLAT))
    report = networks.load_published(network, state)
    assert not report.missing
    mixer = network.vssm_encoder.layers[0].blocks[0].mixer
    theirs = state["layers.0.blocks.0.self_attention.dt_projs_bias"]
    torch.testing.assert_close(mixer.dt_projs_bias[[0, 2, 3, 5]], theirs)
    torch.testing.assert_close(mixer.dt_projs_bias[1], (theirs[0] + theirs[1]) / 2)
    network(torch.randn(1, 1, 16, 16, 16)).sum().backward()


def test_weights_of_the_other_decoder_are_refused():
    theirs = {f"decoder.expand_layers.{n}.norm.weight": torch.ones(8) for n in range(3)}
    with pytest.raises(ValueError, match="do not fit SwinUMamba"):
        networks.load_published(tiny(), theirs)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": (2, 2)}, "depths need 4 entries"),
        ({"strides": (2, 2, 2, 2)}, "strides need 3 entries"),
        ({"states": 0}, "states must be a whole number above 0"),
        ({"step_rank": 0}, "step_rank must be a whole number above 0"),
        ({"stem_stride": 0}, "stem_stride must be"),
        ({"drop_path": 1.0}, "drop_path must be at least 0 and below 1"),
        ({"decoder": "mamba", "stem_kernel": 3}, "decoder 'mamba' has no use for stem_kernel"),
        ({"decoder": "swin"}, "decoder 'swin' is none of convolution, mamba"),
        ({"decoder_features": (8, 8, 8)}, "decoder_features need 5 entries"),
        ({"kernel": (1, 2, 3)}, "must be odd"),
        ({"stem_kernel": 4}, "must be odd"),
        ({"features": 7}, "features must be even"),
        ({"scan_orders": ("ijk", "jjk")}, "name the axes i, j and k once"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


def test_an_axis_is_divided_while_it_is_long():
    # 40 56 40, 20 28 20, 10 14 10, 5 7 5, 3 4 3; then only the one of 4 is divided
    assert swin_umamba.fitted((40, 56, 40)) == {
        "stem_stride": (2, 2, 2),
        "patch_embedding": (2, 2, 2),
        "strides": ((2, 2, 2), (2, 2, 2), (1, 2, 1)),
    }


def test_thick_slices_are_divided_late():
    # 16 160 160 voxels of 10 1 1 mm, 16 80 80 of 10 2 2, 16 40 40 of 10 4 4, 16 20 20 of 10 8 8,
    # 8 10 10 of 20 16 16, 4 5 5
    assert swin_umamba.fitted((16, 160, 160), (10.0, 1.0, 1.0)) == {
        "stem_stride": (1, 2, 2),
        "patch_embedding": (1, 2, 2),
        "strides": ((1, 2, 2), (2, 2, 2), (2, 2, 2)),
    }


def test_a_single_slice_is_never_divided():
    assert swin_umamba.fitted((1, 128, 128), (1.0, 1.0, 1.0))["strides"] == ((1, 2, 2),) * 3
