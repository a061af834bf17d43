"""DS-TransUNet beside the published one, and what that lacks beside what can be worked out."""

import pytest
import torch

from medseg import networks
from medseg.networks import ds_transunet
from medseg.networks.ds_transunet import DSTransUNet
from tests import golden

GOLDEN = "ds_transunet_b_2d"


def tiny(**options):
    torch.manual_seed(0)
    chosen = {**ds_transunet.SIZES["tiny"], **options}
    return DSTransUNet(in_channels=1, out_channels=2, **chosen).eval()


def relative(ours, theirs):
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.real_data
@pytest.mark.slow
def test_the_published_weights_give_the_published_logits(real_data):
    folder = real_data / "golden"
    network = networks.build("ds_transunet", in_channels=3, out_channels=1, size="published").eval()
    state = golden.state(folder, GOLDEN)
    report = networks.load_published(network, state)
    assert len(report.matched) == len(state)
    assert not report.missing
    assert not report.unexpected
    image, stored = golden.image(folder, GOLDEN), golden.outputs(folder, GOLDEN)
    with torch.no_grad():
        logits = network(image)
        main, middle, deepest = network.deep_supervision(image)
    assert torch.equal(main, logits)
    assert relative(main[:, :, 0], torch.from_numpy(stored["main"])) < 1e-5
    assert relative(middle[:, :, 0], torch.from_numpy(stored["aux_from_d3"])) < 1e-5
    assert deepest.shape == main.shape


def parameters(size, *, in_channels, out_channels):
    with torch.device("meta"):
        network = networks.build(
            "ds_transunet", in_channels=in_channels, out_channels=out_channels, size=size
        )
    return sum(p.numel() for p in network.parameters())


def test_parameters_are_as_many_as_published():
    assert parameters("published", in_channels=3, out_channels=1) == 171_441_329


@pytest.mark.parametrize(
    ("size", "least", "most"),
    [("tiny", 0, 1e6), ("small", 5e6, 15e6), ("base", 100e6, 120e6), ("base_light", 20e6, 30e6)],
)
def test_sizes_are_what_they_are_meant_for(size, least, most):
    assert least < parameters(size, in_channels=1, out_channels=3) < most


def test_thick_slices_keep_their_number_under_strides_of_their_own():
    network = tiny(
        patch_embedding=(1, 4, 4),
        coarse_ratio=(1, 2, 2),
        strides=((1, 2, 2), (1, 2, 2), 2),
        window=(2, 3, 3),
        kernel=(1, 3, 3),
    )
    image = torch.randn(2, 1, 7, 60, 50)
    scales = network.encode(image)
    assert [tuple(s.shape[1:]) for s in scales] == [
        (8, 7, 15, 13), (16, 7, 8, 7), (32, 7, 4, 4), (64, 4, 2, 2),
    ]  # fmt: skip
    outputs = network.deep_supervision(image)
    assert [tuple(t.shape[2:]) for t in outputs] == [(7, 60, 50), (7, 15, 13), (4, 2, 2)]


@pytest.mark.parametrize(("patch", "skips"), [(2, 1), ((2, 4, 4), 2), (8, 3)])
def test_each_halving_of_a_patch_has_a_shallow_skip_connection(patch, skips):
    network = tiny(patch_embedding=patch)
    assert len(network.ups) == skips
    assert network.head.conv.conv.in_channels == 8 // 2**skips
    assert network(torch.randn(1, 1, 17, 24, 19)).shape == (1, 2, 17, 24, 19)


def test_the_published_auxiliary_logits_are_rectified_and_as_fine_as_the_image():
    image = torch.randn(1, 1, 16, 19, 33)
    network, likewise = tiny(), tiny(auxiliary_logits="rectified")
    with torch.no_grad():
        _, middle, deepest = network.deep_supervision(image)
        network.middle_head.conv.conv.bias.sub_(middle.mean((0, 2, 3, 4)))
        network.deepest_head.conv.conv.bias.sub_(deepest.mean((0, 2, 3, 4)))  # of either sign now
    likewise.load_state_dict(network.state_dict())
    plain, published = (n.deep_supervision(image) for n in (network, likewise))
    assert torch.equal(published[0], plain[0])
    for theirs, ours, stride in zip(published[1:], plain[1:], (2, 16), strict=True):
        assert theirs.shape == published[0].shape
        assert ours.min() < 0 <= theirs.min()
        assert torch.equal(theirs[:, :, ::stride, ::stride, ::stride], ours.relu())


def test_means_of_few_tokens_and_windows_of_a_whole_grid_are_global_attention():
    options = {"window": 9, "patch_embedding": 2}
    image = torch.randn(1, 1, 16, 18, 15)
    expected = tiny(tif_attention="global", **options)(image)
    for others in ({"tif_attention": "pooled_kv", "max_tokens": 648}, {"tif_attention": "window"}):
        torch.testing.assert_close(tiny(**others, **options)(image), expected)
    pooled = tiny(tif_attention="pooled_kv", max_tokens=60, **options)(image)
    assert not torch.allclose(pooled, expected, rtol=1e-3)


def test_the_hook_sees_the_tokens_of_the_fine_encoder_and_of_the_coarse_one():
    seen = []
    tiny().encode(torch.randn(1, 1, 16, 9, 8), after_embedding=lambda t: seen.append(t) or t)
    assert [tuple(t.shape) for t in seen] == [(1, 8, 5, 4, 8), (1, 4, 3, 2, 8)]


def test_only_where_windows_do_not_fill_the_grid_it_matters_that_the_filling_is_masked():
    image = torch.randn(1, 1, 16, 16, 16)  # 8, 4, 2 and 1 tokens along each axis, and half of them
    for window, same in ((8, True), (2, True), (3, False)):
        masked, seen = (
            tiny(window=window, mask_filling=masks, tif_attention="global")(image)
            for masks in (True, False)
        )
        assert torch.equal(masked, seen) == same


def test_checkpointing_changes_no_gradient():
    image = torch.randn(1, 1, 16, 16, 20)
    network, saving = tiny().train(), tiny(checkpointing=True).train()
    for n in (network, saving):
        n(image).square().mean().backward()
    for (name, a), b in zip(network.named_parameters(), saving.parameters(), strict=True):
        if a.grad is not None:  # the auxiliary heads have none
            torch.testing.assert_close(a.grad, b.grad, msg=name)


def test_dropped_paths_matter_in_training_only():
    image = torch.randn(1, 1, 16, 16, 16)
    for rates in ({"drop_path": 0.5}, {"coarse_drop_path": 0.5}, {"decoder_drop_path": 0.5}):
        network = tiny(**rates).train()
        results = [network(image) for _ in range(6)]
        assert not all(torch.equal(r, results[0]) for r in results)
        assert torch.equal(network.eval()(image), network(image))


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 20, "heads": (3, 6, 12, 24)}, "3 heads do not divide the 20 features"),
        ({"coarse_heads": (3, 6, 12, 24)}, "3 coarse_heads do not divide the 8 features"),
        ({"decoder_heads": (1, 3, 4)}, "3 decoder_heads do not divide the 16 features of stage 2"),
        ({"depths": (2, 2)}, "depths need 4 entries"),
        ({"strides": (2, 2, 2, 2)}, "strides need 3 entries"),
        ({"patch_embedding": (3, 4, 4)}, "must be powers of 2"),
        ({"features": 4, "heads": (1, 1, 1, 1), "patch_embedding": 8}, "multiple of 8"),
        ({"kernel": 2}, "kernel must be odd"),
        ({"max_tokens": 0}, "max_tokens must be a whole number above 0"),
        ({"coarse_drop_path": 1.0}, "coarse_drop_path must be at least 0 and below 1"),
        ({"coarse_ratio": (2, 2)}, "coarse_ratio must be"),
        ({"window": 0}, "window must be"),
        ({"tif_attention": "all"}, "tif_attention 'all' is none of global, pooled_kv, window"),
        ({"clipped_bias": "geometri"}, "clipped_bias 'geometri' is none of monai, geometric"),
        ({"upsampling": "cubic"}, "upsampling 'cubic' is none of nearest, trilinear"),
        ({"auxiliary_logits": "own"}, "auxiliary_logits 'own' is none of own_grid, rectified"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


@pytest.mark.parametrize(
    ("patch", "embedding", "ratio", "strides", "window"),
    [
        # 20, 28, 20 tokens, then 10, 14, 10, then 5, 7, 5
        ((40, 56, 40), (2, 2, 2), (2, 2, 2), [(2, 2, 2)] * 3, (5, 7, 5)),
        # 24 tokens, then 12, then 6; windows of 6 fill 24
        ((96, 96, 96), (4, 4, 4), (2, 2, 2), [(2, 2, 2)] * 3, (6, 6, 6)),
        # 10 slices, then 5, then 3, which are not merged
        ((10, 160, 160), (1, 4, 4), (2, 2, 2), [(2, 2, 2), (2, 2, 2), (1, 2, 2)], (5, 5, 5)),
        # 3 slices are left alone
        ((3, 64, 64), (1, 2, 2), (1, 2, 2), [(1, 2, 2)] * 3, (5, 7, 7)),
        # 32 slices are thin beside 128 voxels; 16 tokens; windows of 6 waste the least
        ((32, 128, 128), (2, 4, 4), (2, 2, 2), [(2, 2, 2)] * 3, (6, 7, 7)),
    ],
)
def test_options_suit_the_patch(patch, embedding, ratio, strides, window):
    options = ds_transunet.fitted(patch)
    assert options == {
        "patch_embedding": embedding,
        "coarse_ratio": ratio,
        "strides": tuple(strides),
        "window": window,
    }


def test_thick_slices_are_merged_late():
    # 40 slices would be embedded by 2; of 5 mm beside 1 mm they are not, and then merged with all
    options = ds_transunet.fitted((40, 128, 128), (5.0, 1.0, 1.0))
    assert options["patch_embedding"] == (1, 4, 4)
    assert options["strides"] == ((2, 2, 2),) * 3
    options = ds_transunet.fitted((24, 48, 48), (2.5, 0.8, 0.8))  # small: tokens of 2.5 1.6 1.6
    assert options["patch_embedding"] == (1, 2, 2)


def test_weights_of_classified_images_fill_the_fine_encoder(swin_of_images):
    network = tiny(features=16, patch_embedding=4)
    state = swin_of_images(16, depths=(1, 2, 1, 1), heads=(1, 2, 4, 8), patch=4)
    before = {name: p.clone() for name, p in network.named_parameters()}
    report = networks.load_published(network, state)
    assert not report.missing
    changed = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {n for n in before if n.startswith(("fine.layers.", "fine.patch_embed."))}
    theirs, ours = state["layers.1.blocks.1.mlp.fc2.weight"], network.fine.layers[1].blocks[1].mlp
    assert torch.equal(ours.linear2.weight, theirs)


def test_weights_of_classified_images_fill_the_coarse_encoder_but_for_its_patches(swin_of_images):
    network = tiny(features=16, coarse_features=24, coarse_heads=(3, 6, 12, 24))
    state = swin_of_images(24, depths=(1, 1, 1, 1), heads=(3, 6, 12, 24), patch=4)
    report = networks.load_published(network, state)
    assert not report.missing
    assert all(name.startswith("coarse.") for name in report.matched)
    assert "coarse.patch_embed.proj.weight" not in report.matched
    assert not [name for name in report.matched if ".norms." in name]
    unused = {name.partition(".")[0] for name in report.unexpected}
    assert unused <= {"norm", "head", "patch_embed", "layers"}


def test_weights_of_classified_images_with_other_heads_are_refused(swin_of_images):
    network = tiny(features=16, patch_embedding=4)
    state = swin_of_images(16, depths=(1, 2, 1, 1), heads=(2, 4, 8, 16), patch=4)
    with pytest.raises(ValueError, match=r"of 2 heads at fine\.layers\.0"):
        networks.load_published(network, state)


def test_unknown_names_are_no_use():
    for source in ds_transunet.SOURCES.values():
        assert source.rename("head.weight") is None
        assert source.rename("layers.0.blocks.1.attn_mask") is None
