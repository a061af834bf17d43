"""D-Former beside the published one; what that lacks beside what can be worked out otherwise."""

import re

import pytest
import torch

from medseg import networks
from medseg.networks import d_former
from medseg.networks.d_former import DFormer
from tests import golden

TINY = {"features": 8, "depths": (1, 2, 1, 1), "heads": (1, 2, 4, 8), "group": 3}


def tiny(**options):
    torch.manual_seed(0)
    given = {"patch_embedding": (1, 2, 2), **TINY, **options}
    return DFormer(in_channels=1, out_channels=2, **given)


@pytest.fixture(scope="module")
def published():
    return networks.build("d_former", in_channels=1, out_channels=14, size="published")


@pytest.mark.slow
@pytest.mark.real_data
def test_the_published_weights_give_the_published_logits(real_data, published):
    folder = real_data / "golden"
    state = golden.state(folder, "d_former")
    report = networks.load_published(published, state)
    assert len(report.matched) == len(state)
    assert not report.missing
    assert not report.unexpected
    image, stored = golden.image(folder, "d_former"), golden.outputs(folder, "d_former")
    with torch.no_grad():
        full, half = published.eval().deep_supervision(image)
        assert torch.equal(published(image), full)
    for name, logits in (("full", full), ("half", half)):
        expected = torch.from_numpy(stored[name])
        assert (logits[:, ::5, ::8] - expected).norm() / expected.norm() < 1e-5
        moments = torch.stack([logits.mean(), logits.std(correction=0)]).double()
        expected = torch.from_numpy(stored[f"{name}_mean_std"]).double()
        torch.testing.assert_close(moments, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "outputs", "count"), [("published", 14, 50_557_248), ("small", 3, 7_959_993)]
)
def test_parameters_are_as_many_as_stated(size, outputs, count):
    with torch.device("meta"):
        network = networks.build("d_former", in_channels=1, out_channels=outputs, size=size)
    assert sum(p.numel() for p in network.parameters()) == count


def test_the_published_size_supervises_two_of_its_three_heads(published):
    assert pytest.approx((2 / 3, 1 / 3)) == published.SUPERVISION
    assert len(published.heads) == 3
    assert not hasattr(published, "HEAD_BIAS")


def test_all_three_heads_are_supervised_otherwise():
    network = tiny()
    assert pytest.approx((4 / 7, 2 / 7, 1 / 7)) == network.SUPERVISION
    logits = network.deep_supervision(torch.randn(1, 1, 9, 18, 21))
    assert [tuple(t.shape) for t in logits] == [
        (1, 2, 9, 18, 21),
        (1, 2, 5, 9, 11),
        (1, 2, 3, 5, 6),
    ]


def test_thick_slices_keep_their_number_under_strides_of_their_own():
    network = tiny(patch_embedding=(1, 4, 4), strides=((1, 2, 2), (1, 2, 2), 2), group=(2, 3, 3))
    image = torch.randn(2, 1, 7, 64, 50)
    scales = network.encode(image)
    assert [tuple(s.shape[1:]) for s in scales] == [
        (8, 7, 16, 13), (16, 7, 8, 7), (32, 7, 4, 4), (64, 4, 2, 2),
    ]  # fmt: skip
    logits = network.deep_supervision(image)
    assert [tuple(t.shape[2:]) for t in logits] == [(7, 64, 50), (7, 32, 25), (7, 16, 13)]
    sum(t.sum() for t in logits).backward()


def test_the_hook_may_replace_the_embedded_tokens():
    network = tiny()
    blank = network.encode(torch.zeros(1, 1, 8, 16, 16), after_embedding=torch.zeros_like)
    other = network.encode(torch.randn(1, 1, 8, 16, 16), after_embedding=torch.zeros_like)
    for a, b in zip(blank, other, strict=True):
        assert torch.equal(a, b)


def test_checkpointing_changes_no_gradient():
    network, saving = tiny(), tiny(checkpointing=True)
    image = torch.randn(1, 1, 8, 20, 16)
    for n in (network, saving):
        sum(t.square().mean() for t in n.deep_supervision(image)).backward()
    for a, b in zip(network.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_dropped_paths_matter_in_training_only():
    network = tiny(drop_path=0.5)
    image = torch.randn(1, 1, 8, 16, 16)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


def test_paths_are_dropped_more_the_deeper_a_block_lies():
    network = tiny(drop_path=0.4)
    rates = [[b.drop_path.probability for b in stage.blocks] for stage in network.encoder]
    expected = [[0.0], [0.1, 0.2], [0.3], [0.4]]
    for ours, theirs in zip(rates, expected, strict=True):
        assert ours == pytest.approx(theirs)
    assert [b.drop_path.probability for b in network.decoder[1].blocks] == pytest.approx([0.1, 0.2])


def test_the_published_groups_of_a_short_grid_hold_all_of_it():
    torch.manual_seed(0)
    options = {"patch_embedding": 1, "group": (2, 4, 4)}
    whole, clipped = (tiny(short_grid=s, **options).eval() for s in ("whole", "clip"))
    image = torch.randn(1, 1, 8, 32, 32)  # 1 x 4 x 4 at the coarsest scale: one group for both
    a, b = (network.encode(image)[-1] for network in (whole, clipped))
    torch.testing.assert_close(a, b)
    image = torch.randn(1, 1, 32, 16, 16)  # 4 x 2 x 2 there: one group, or two of 2 x 2 x 2
    a, b = (network.encode(image)[-1] for network in (whole, clipped))
    assert not torch.allclose(a, b, atol=1e-4)


@pytest.fixture
def swin_t(swin_of_images):
    return swin_of_images(96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), patch=4)


def test_swin_t_fills_the_encoder_and_the_blocks_of_the_decoder(swin_t):
    network = networks.build("d_former", in_channels=2, out_channels=3, size="base")
    report = networks.load_published(network, swin_t)
    assert report.share == 1
    windows = [name for name in swin_t if re.search(r"relative_position|attn_mask", name)]
    assert sorted(report.unexpected) == sorted([*windows, "head.weight"])
    theirs = swin_t["layers.2.blocks.5.mlp.fc1.weight"]
    for stage in (network.encoder[2], network.decoder[2]):
        assert torch.equal(stage.blocks[5].mlp.linear1.weight, theirs)
    begun = {name.split(".")[0] for name in report.matched}
    assert begun == {"patch_embed", "encoder", "mergings", "encoder_norm", "decoder"}
    # A gray patch of equal slices is embedded as the coloured image of one slice: the sum of the
    # embedding's weights over channels and slices stays.
    theirs = swin_t["patch_embed.proj.weight"].sum(1)
    torch.testing.assert_close(network.patch_embed.proj.weight.sum((1, 2)), theirs)


@pytest.mark.parametrize("stride", [(1, 2, 2), 2])
def test_swins_mergings_answer_equal_slices_as_one_slice(swin_t, stride):
    with torch.device("meta"):
        network = networks.build(
            "d_former", in_channels=1, out_channels=3, size="base", strides=(stride, 2, 2)
        )
    network = network.to_empty(device="cpu")
    networks.load_published(network, swin_t)
    c = {name: swin_t[f"layers.0.downsample.{name}"] for name in ("norm.weight", "norm.bias")}
    grid = torch.randn(4, 6, 96)
    four = torch.cat([grid[a::2, b::2] for b in (0, 1) for a in (0, 1)], dim=-1)  # as Swin does
    four = torch.nn.functional.layer_norm(four, (384,), c["norm.weight"], c["norm.bias"])
    expected = four @ swin_t["layers.0.downsample.reduction.weight"].T
    merged = network.mergings[0](grid.expand(1, 2, -1, -1, -1))
    torch.testing.assert_close(merged[0, 0], expected, rtol=1e-4, atol=1e-3)


def test_swins_mergings_do_not_fit_other_strides_in_the_plane(swin_t):
    with torch.device("meta"):
        network = networks.build(
            "d_former", in_channels=1, out_channels=3, size="base", strides=((2, 2, 1), 2, 2)
        )
    network = network.to_empty(device="cpu")
    report = networks.load_published(network, swin_t)
    assert [name for name in report.missing if not name.startswith("mergings.0.")] == []
    assert len(report.missing) == 3


def test_swin_t_is_refused_by_a_network_of_other_heads(swin_t):
    network = DFormer(in_channels=1, out_channels=2, features=96, heads=(2, 4, 8, 16))
    with pytest.raises(ValueError, match=r"of 3 heads at .*, where DFormer has 2"):
        networks.load_published(network, swin_t)


def test_swin_t_is_refused_by_a_network_of_other_depths(swin_t):
    with torch.device("meta"):
        network = DFormer(in_channels=1, out_channels=2, features=96, depths=(2, 2, 2, 2))
    with pytest.raises(ValueError, match="build it with size='base'"):
        networks.load_published(network, swin_t)


def test_the_published_weights_are_refused_by_a_network_of_other_heads():
    network = tiny(features=96, heads=(2, 4, 8, 16))
    with pytest.raises(ValueError, match=r"have heads \(3, 6, 12, 24\), not \(2, 4, 8, 16\)"):
        d_former.has_published_heads(network)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 20, "heads": (3, 6, 12, 24)}, "3 heads do not divide the 20 features"),
        ({"depths": (2, 2)}, "need 4 entries"),
        ({"strides": (2, 2, 2, 2)}, "strides need 3 entries"),
        ({"heads": (0, 1, 2, 4)}, "heads must be a whole number above 0"),
        ({"group": 0}, "group must be one whole number above 0, or three"),
        ({"group": (3, 3)}, "group must be one whole number above 0, or three"),
        ({"patch_embedding": 0}, "patch_embedding must be"),
        ({"strides": (2, 0, 2)}, "strides must be"),
        ({"drop_path": 1.0}, "drop_path must be at least 0 and below 1"),
        ({"short_grid": "cut"}, "short_grid 'cut' is none of clip, whole"),
        ({"supervised": 4}, "must be 1 to 3"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


def test_small_patches_are_embedded_finely_and_their_grids_filled():
    # 40 x 56 x 40 voxels are 20 x 28 x 20 tokens, and 10 x 14 x 10, 5 x 7 x 5 further on
    assert d_former.fitted((40, 56, 40)) == {
        "patch_embedding": (2, 2, 2),
        "strides": ((2, 2, 2),) * 3,
        "group": (5, 7, 5),
    }


def test_thin_patches_are_not_merged_away():
    assert d_former.fitted((4, 160, 160)) == {
        "patch_embedding": (1, 4, 4),
        "strides": ((2, 2, 2), (1, 2, 2), (1, 2, 2)),
        "group": (4, 5, 5),
    }


def test_thick_slices_are_merged_when_the_others_have_come_up_to_them():
    # voxels of 5 1 1 mm; tokens of 5 4 4, then 10 8 8 and so on; those of 2.5 mm are halved once
    thick = d_former.fitted((40, 160, 160), (5.0, 1.0, 1.0))
    assert thick["patch_embedding"] == (1, 4, 4)
    assert thick["strides"] == ((2, 2, 2),) * 3
    assert d_former.fitted((96, 160, 160), (2.5, 1.0, 1.0))["patch_embedding"] == (2, 4, 4)
    # 20 1 1, 20 4 4, 20 8 8, 20 16 16, all
    thicker = d_former.fitted((40, 160, 160), (20.0, 1.0, 1.0))
    assert thicker["strides"] == ((1, 2, 2), (1, 2, 2), (2, 2, 2))
