"""Swin UNETR beside MONAI's, and what MONAI lacks beside what can be worked out otherwise."""

import copy
import importlib
import pickle
import warnings

import pytest
import torch
from torch import nn

from medseg import networks
from medseg.networks import swin_unetr
from medseg.networks.swin_unetr import SwinUNETR


def monai_swin_unetr(**options):
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # MONAI's import touches deprecated parts of its dependencies
        nets = importlib.import_module("monai.networks.nets")
    torch.manual_seed(0)
    return nets.SwinUNETR(**options)


def pair(*, in_channels=1, out_channels=3, features=12, use_v2=False, merging="monai", **options):
    """MONAI's network and ours with the same weights."""
    downsample = {"monai": "merging", "monai_v2": "mergingv2"}[merging]
    theirs = monai_swin_unetr(
        in_channels=in_channels,
        out_channels=out_channels,
        feature_size=features,
        use_v2=use_v2,
        downsample=downsample,
        **options,
    )
    ours = networks.build(
        "swin_unetr",
        in_channels=in_channels,
        out_channels=out_channels,
        features=features,
        use_v2=use_v2,
        merging=merging,
        **({"depths": options["depths"]} if "depths" in options else {}),
    )
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def relative(ours, theirs):
    return float(((ours - theirs).norm() / theirs.norm().clamp(min=1e-12)).detach())


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (64, 32, 64)),
        ({"use_v2": True}, (64, 32, 32)),
        ({"in_channels": 4}, (32, 96, 32)),
        ({"merging": "monai_v2"}, (32, 64, 32)),
        ({"features": 24, "depths": (2, 1, 1, 2)}, (64, 32, 32)),
    ],
)
def test_logits_are_those_of_monai(options, size):
    theirs, ours = pair(**options)
    image = torch.randn(1, options.get("in_channels", 1), *size)
    with torch.no_grad():
        assert relative(ours(image), theirs(image)) < 1e-5
    assert relative(ours(image), theirs(image)) < 1e-5  # what training computes


@pytest.mark.slow
@pytest.mark.parametrize("use_v2", [False, True])
def test_logits_are_those_of_monai_at_full_size(use_v2):
    theirs, ours = pair(out_channels=14, features=48, use_v2=use_v2)
    image = torch.randn(1, 1, 96, 96, 96)
    with torch.no_grad():
        assert relative(ours(image), theirs(image)) < 1e-5


@pytest.mark.parametrize("use_v2", [pytest.param(False, marks=pytest.mark.slow), True])
def test_gradients_are_those_of_monai(use_v2):
    # Double precision: near a kink of a rectifier, float32 may fall on the other side.
    theirs, ours = (n.double() for n in pair(use_v2=use_v2))
    image = torch.randn(1, 1, 64, 32, 32, dtype=torch.float64, requires_grad=True)
    same = image.detach().clone().requires_grad_()
    expected, logits = theirs(image), ours(same)
    towards = torch.randn_like(expected)
    expected.backward(towards)
    logits.backward(towards)
    assert relative(same.grad, image.grad) < 1e-8
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    for name, parameter in theirs.named_parameters():
        assert relative(gradients[name], parameter.grad) < 1e-8, name


@pytest.mark.parametrize(("use_v2", "count"), [(False, 62_187_296), (True, 72_762_656)])
def test_parameters_are_as_many_as_published(use_v2, count):
    with torch.device("meta"):
        network = SwinUNETR(in_channels=1, out_channels=14, features=48, use_v2=use_v2)
    assert sum(p.numel() for p in network.parameters()) == count


class LegacyMerging(nn.Module):
    """Written after the text of MONAI 1.4: two neighbours twice, two never."""

    def __init__(self, dim, norm_layer=nn.LayerNorm, **_):
        super().__init__()
        self.reduction = nn.Linear(8 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(8 * dim)

    def forward(self, x):
        starts = ["000", "100", "010", "001", "101", "010", "001", "111"]
        parts = [x[:, int(i) :: 2, int(j) :: 2, int(k) :: 2] for i, j, k in starts]
        return self.reduction(self.norm(torch.cat(parts, -1)))


def test_legacy_merging_is_what_monai_computes_with_the_old_module():
    theirs = monai_swin_unetr(
        in_channels=1, out_channels=2, feature_size=12, downsample=LegacyMerging
    )
    ours = SwinUNETR(in_channels=1, out_channels=2, features=12, merging="legacy")
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 1, 64, 32, 32)
    with torch.no_grad():
        assert relative(ours(image), theirs(image)) < 1e-5


def decoded(theirs, image):
    """MONAI's parts put together for any size: a refined grid is cut to the one it joins."""
    hidden = theirs.swinViT(image, theirs.normalize)
    x = theirs.encoder10(hidden[4])
    skips = [
        (theirs.decoder5, hidden[3]),
        (theirs.decoder4, theirs.encoder4(hidden[2])),
        (theirs.decoder3, theirs.encoder3(hidden[1])),
        (theirs.decoder2, theirs.encoder2(hidden[0])),
        (theirs.decoder1, theirs.encoder1(image)),
    ]
    for block, skip in skips:
        i, j, k = skip.shape[2:]
        refined = block.transp_conv(x)[:, :, :i, :j, :k]
        x = block.conv_block(torch.cat([refined, skip], dim=1))
    return theirs.out(x)


@pytest.mark.parametrize("size", [(40, 56, 40), (31, 33, 70), (34, 96, 64)])
def test_any_size_gives_what_monais_parts_give(size):
    theirs, ours = pair(features=12)
    image = torch.randn(1, 1, *size)
    with torch.no_grad():
        assert relative(ours(image), decoded(theirs, image)) < 1e-5


def test_thick_slices_keep_their_number_under_strides_of_their_own():
    network = SwinUNETR(
        in_channels=1,
        out_channels=2,
        features=12,
        depths=(1, 1, 1, 1),
        window=(2, 3, 3),
        patch_embedding=(1, 2, 2),
        strides=((1, 2, 2), (2, 2, 2), 2, 2),
    )
    scales = network.encode(torch.randn(1, 1, 8, 64, 32))
    assert [tuple(s.shape[1:]) for s in scales] == [
        (12, 8, 32, 16), (24, 8, 16, 8), (48, 4, 8, 4), (96, 2, 4, 2), (192, 1, 2, 1),
    ]  # fmt: skip
    logits = network(torch.randn(2, 1, 9, 40, 50))
    assert logits.shape == (2, 2, 9, 40, 50)
    logits.sum().backward()


def test_the_hook_may_replace_the_embedded_tokens():
    network = SwinUNETR(in_channels=1, out_channels=2, features=12, depths=(1, 1, 1, 1), window=3)
    blank = network.encode(torch.zeros(1, 1, 32, 32, 32), after_embedding=torch.zeros_like)
    image = network.encode(torch.randn(1, 1, 32, 32, 32), after_embedding=torch.zeros_like)
    for a, b in zip(blank, image, strict=True):
        assert torch.equal(a, b)


def test_checkpointing_changes_no_gradient():
    torch.manual_seed(0)
    network = SwinUNETR(in_channels=1, out_channels=2, features=12, depths=(1, 1, 1, 1), window=3)
    saving = SwinUNETR(
        in_channels=1,
        out_channels=2,
        features=12,
        depths=(1, 1, 1, 1),
        window=3,
        checkpointing=True,
    )
    saving.load_state_dict(network.state_dict())
    image = torch.randn(1, 1, 32, 32, 64)
    for n in (network, saving):
        n(image).square().mean().backward()
    for a, b in zip(network.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_dropped_paths_and_values_matter_in_training_only():
    network = SwinUNETR(
        in_channels=1, out_channels=2, features=12, window=3, drop_path=0.5, dropout=0.2
    )
    image = torch.randn(1, 1, 32, 32, 32)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


def test_copies_and_pickles_compute_the_same():
    network = SwinUNETR(in_channels=1, out_channels=2, features=12, depths=(1, 1, 1, 1), window=3)
    image = torch.randn(1, 1, 32, 32, 32)
    expected = network(image)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(twin(image), expected)


def test_training_follows_inference_mode():
    network = SwinUNETR(in_channels=1, out_channels=2, features=12, depths=(1, 1, 1, 1), window=5)
    image = torch.randn(1, 1, 32, 64, 32)
    with torch.inference_mode():
        network(image)
    network(image).sum().backward()


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 20}, "3 heads do not divide the 20 features of stage 1"),
        ({"depths": (2, 2)}, "need 4 entries"),
        ({"heads": (0, 1, 2, 4)}, "heads must be a whole number above 0"),
        ({"window": (7, 7)}, "window must be one whole number above 0, or three"),
        ({"drop_path": 1.0}, "drop_path must be at least 0 and below 1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"merging": "merging"}, "merging 'merging' is none of monai, monai_v2, legacy"),
        ({"clipped_bias": "geometri"}, "clipped_bias 'geometri' is none of monai, geometric"),
        ({"merging": "legacy", "strides": (2, 2, 2, (1, 2, 2))}, "needs stride"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SwinUNETR(in_channels=1, out_channels=2, **options)


def test_windows_fill_the_grid_of_the_patch():
    # 40 voxels are 20 tokens, which windows of 5 fill; 56 are 28, which windows of 7 fill
    assert swin_unetr.fitted((40, 56, 40)) == {"window": (5, 7, 5)}


def test_of_windows_that_fill_equally_well_the_largest_is_taken():
    # 96 voxels are 48 tokens: 7 x 7 = 49, 8 x 6 = 48, 10 x 5 = 50; 70 are 35 = 5 x 7 = 7 x 5
    assert swin_unetr.fitted((96, 70, 84)) == {"window": (6, 7, 7)}


def test_thick_slices_are_merged_late():
    # voxels of 1.5 1.5 10 mm, tokens of 3 3 10, of 6 6 10, then 12 12 20 and so on
    assert swin_unetr.fitted((224, 192, 10), (1.5, 1.5, 10.0)) == {
        "patch_embedding": (2, 2, 1),
        "strides": ((2, 2, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
        "window": (7, 6, 5),  # 112 = 16 x 7, 96 = 16 x 6, 10 = 2 x 5
    }


@pytest.mark.parametrize("merging", ["monai", "monai_v2"])
def test_one_slice_is_answered_as_monais_network_of_images_answers(merging):
    theirs = monai_swin_unetr(in_channels=1, out_channels=2, feature_size=12, spatial_dims=2)
    ours = SwinUNETR(
        in_channels=1,
        out_channels=2,
        features=12,
        window=(1, 7, 7),
        patch_embedding=(1, 2, 2),
        strides=((1, 2, 2),) * 4,
        merging=merging,
    )
    report = networks.load_published(ours, theirs.state_dict())
    assert (report.missing, report.unexpected) == ((), ())
    image = torch.randn(1, 1, 64, 96)
    with torch.no_grad():  # a third of each kernel is left of one slice, and normalised away
        assert relative(ours(image[:, :, None])[:, :, 0], theirs(image)) < 1e-2
