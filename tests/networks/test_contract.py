"""What every network must do: a file in `medseg/networks` is found and tested here."""

import re
import sys

import pytest
import torch
from torch.nn import functional

from medseg import networks, registry

NAMES = registry.names(networks)

VARIANTS = {
    **{name: (name, {}) for name in NAMES},
    "swin_umamba, light": (
        "swin_umamba",
        {"decoder": "mamba", "decoder_features": None, "stem_kernel": None},
    ),
    "ds_transunet, global": ("ds_transunet", {"tif_attention": "global"}),
    "ds_transunet, window": ("ds_transunet", {"tif_attention": "window"}),
    "d_former, whole": ("d_former", {"short_grid": "whole"}),
}
"""Each network, and what some make of other options."""


@pytest.fixture(params=VARIANTS)
def network(request):
    torch.manual_seed(0)
    name, options = VARIANTS[request.param]
    return networks.build(name, in_channels=2, out_channels=3, size="tiny", **options)


def image(*size, batch=1):
    return torch.randn(batch, 2, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(32, 32, 32), (5, 9, 33), (1, 20, 40), (1, 1, 1)])
def test_logits_lie_on_the_grid_of_the_image(network, size):
    for mode in (network.train(), network.eval()):
        logits = mode(image(*size))
        assert logits.shape == (1, 3, *size)
        assert logits.is_contiguous()
        assert logits.isfinite().all()


def scales_of(network, given):
    """All logits that training supervises."""
    deep = getattr(network, "deep_supervision", None)
    return [network(given)] if deep is None else deep(given)


@pytest.mark.parametrize("name", NAMES)
def test_the_sizes_are_those_that_users_are_promised(name):
    assert networks.sizes(name)[:3] == ["tiny", "small", "base"]
    with torch.device("meta"):
        small = networks.build(name, in_channels=1, out_channels=3, size="small")
    assert 5e6 <= sum(p.numel() for p in small.parameters()) <= 15e6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("patch", "spacing_mm"),
    [
        ((40, 56, 40), (1.0, 1.0, 1.0)),
        ((16, 160, 160), (1.0, 1.0, 1.0)),
        ((10, 224, 192), (10.0, 1.5, 1.5)),
        ((96, 96, 96), (1.0, 1.0, 1.0)),
    ],
)
def test_options_that_suit_a_patch_make_a_network(name, patch, spacing_mm):
    with torch.device("meta"):
        options = networks.fitted(name, patch, spacing_mm=spacing_mm)
        fitted = networks.build(name, in_channels=1, out_channels=3, size="small", **options)
    assert 5e6 <= sum(p.numel() for p in fitted.parameters()) <= 15e6
    image = torch.zeros(1, 1, *patch, device="meta")
    assert fitted.eval()(image).shape == (1, 3, *patch)


@pytest.mark.parametrize("name", NAMES)
def test_thick_slices_are_not_halved_at_first(name):
    options = networks.fitted(name, (10, 224, 192), spacing_mm=(10.0, 1.5, 1.5))
    order = ("stem_stride", "patch_embedding", "strides")
    steps = [options[key] for key in order if key in options]
    first = steps[0] if isinstance(steps[0][0], int) else steps[0][0]
    assert first[0] == 1
    assert min(first[1:]) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_the_source_is_named(name):
    assert "http" in networks.source(name)


def test_supervised_scales_begin_with_the_result_and_get_coarser(network):
    if not hasattr(network, "deep_supervision"):
        pytest.skip("its paper supervises nothing but the result")
    network.eval()
    given = image(32, 40, 33)
    with torch.no_grad():
        scales = network.deep_supervision(given)
        assert torch.equal(scales[0], network(given))
    assert len(scales) == len(network.SUPERVISION) > 1
    assert sum(network.SUPERVISION) == pytest.approx(1.0)
    assert all(scale.shape[:2] == (1, 3) for scale in scales)
    sizes = [scale.shape[2:].numel() for scale in scales]
    assert sizes == sorted(sizes, reverse=True)


def test_the_encoder_gives_its_scales_and_lets_tokens_be_replaced(network):
    if not hasattr(network, "encode"):
        pytest.skip("it has no patch embedding")
    network.eval()
    seen = []

    def nothing(tokens):
        seen.append(tokens)
        return torch.zeros_like(tokens)

    with torch.no_grad():
        scales = network.encode(image(32, 32, 32))
        blind = network.encode(image(32, 32, 32), after_embedding=nothing)
        other = network.encode(image(32, 32, 32).neg(), after_embedding=nothing)
    assert seen
    sizes = [scale.shape[2:].numel() for scale in scales]
    assert sizes == sorted(sizes, reverse=True)
    assert not torch.equal(scales[-1], blind[-1])
    torch.testing.assert_close(other[-1], blind[-1])  # all that the deepest scale knows are tokens


def test_sources_fill_something_and_bear_names_they_do_not_know(network):
    module = sys.modules[type(network).__module__]
    for source in getattr(module, "SOURCES", {}).values():
        source.rename("a.name.nobody.knows")
        named = [n for n, _ in network.named_parameters() if re.match(source.part, n)]
        assert named, f"{source.what} is meant to fill nothing"


def test_every_weight_gets_a_gradient(network):
    sum(scale.square().mean() for scale in scales_of(network, image(64, 40, 33))).backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_cases_of_a_batch_do_not_mix(network):
    network.eval()
    batch = image(64, 32, 32, batch=2)
    with torch.no_grad():
        both = network(batch)
        for case, logits in zip(batch, both, strict=True):
            torch.testing.assert_close(network(case[None])[0], logits, rtol=1e-3, atol=1e-4)


def test_forward_changes_no_state(network):
    network.eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    attributes = {n: plain(m) for n, m in network.named_modules()}
    with torch.no_grad():
        first = network(image(40, 32, 32))
        network(image(20, 64, 33, batch=2))
        network(image(1, 1, 1))
        assert torch.equal(network(image(40, 32, 32)), first)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert {n: plain(m) for n, m in network.named_modules()} == attributes


def plain(module):
    """The attributes of a module, by value where that is told by what is printed."""
    known = (bool, int, float, str, tuple, list, type(None))
    return {n: repr(v) if isinstance(v, known) else type(v) for n, v in vars(module).items()}


def test_input_is_left_alone(network):
    given = image(64, 32, 32)
    copy = given.clone()
    network(given).sum().backward()
    assert torch.equal(given, copy)


STEPS = 120
"""Most networks need fewer than 60 to learn a patch by heart; the light Swin-UMamba, whose tokens
are four voxels long, needs 83."""


def test_a_tiny_patch_can_be_learned_by_heart(network):
    patch = 0.1 * image(32, 32, 32)
    axes = torch.meshgrid(*[torch.arange(32)] * 3, indexing="ij")
    labels = torch.zeros(1, 32, 32, 32, dtype=torch.int64)
    for label, centre in ((1, 10), (2, 22)):
        labels[0][sum((a - centre) ** 2 for a in axes) < 36] = label
    patch[:, 0] += labels
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(STEPS):
        logits = network(patch)
        predicted = logits.detach().argmax(1)
        if all(dice(predicted == n, labels == n) > 0.95 for n in (1, 2)):
            return
        optimizer.zero_grad()
        functional.cross_entropy(logits, labels, weight=torch.tensor([1.0, 5.0, 5.0])).backward()
        optimizer.step()
    pytest.fail(f"no Dice above 0.95 after {STEPS} steps")


def dice(a, b):
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_bfloat16_agrees_roughly(network):
    network.eval()
    given = image(64, 32, 32)
    with torch.no_grad():
        exact = network(given)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = network(given)
        narrow = network.bfloat16()(given.bfloat16())
    for rough in (mixed.float(), narrow.float()):
        assert (rough - exact).norm() / exact.norm() < 0.05


def test_bfloat16_autocast_trains(network):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scales = scales_of(network, image(64, 32, 32))
    sum(scale.float().square().mean() for scale in scales).backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_the_bias_of_the_head_is_added_to_the_logits(network):
    network.eval()
    given = image(32, 32, 32)
    with torch.no_grad():
        before = network(given)
        networks.head_bias(network).add_(torch.tensor([1.0, -2.0, 0.5]))
        shift = network(given) - before
    for output, added in enumerate((1.0, -2.0, 0.5)):
        torch.testing.assert_close(shift[:, output], torch.full_like(shift[:, output], added))


@pytest.mark.slow
def test_export_computes_the_same(network):
    network.eval()
    given = image(32, 32, 64)
    with torch.no_grad():
        network(given)  # what depends on the size alone is computed before the trace
        exported = torch.export.export(network, (given,)).module()
        torch.testing.assert_close(exported(given), network(given), rtol=1e-4, atol=1e-5)
