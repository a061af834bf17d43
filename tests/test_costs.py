"""What a network costs."""

import pytest
from torch import nn

from medseg import costs, networks, registry
from medseg.blocks.selective_scan import selective_scan
from medseg.costs import Subject


class Linear(nn.Module):
    """A convolution whose multiply-adds are known."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(2, 3, 3, padding=1)

    def forward(self, image):
        return self.conv(image)


def test_a_convolution_is_counted_as_by_hand(monkeypatch):
    monkeypatch.setattr(costs.networks, "build", lambda *_, **__: Linear())
    counted = costs.count(Subject("swin_unetr", "tiny", 2, 3, (8, 10, 12)))
    assert counted.parameters == 2 * 3 * 27 + 3
    assert counted.multiply_adds == 8 * 10 * 12 * 2 * 3 * 27


def test_a_scan_is_counted_as_by_hand(monkeypatch):
    class Scanning(nn.Module):
        def forward(self, image):
            u = image.flatten(2)
            shared = image.new_zeros(1, 1, 4, u.shape[2])
            return selective_scan(u, u, image.new_zeros(2, 4), shared, shared)

    monkeypatch.setattr(costs.networks, "build", lambda *_, **__: Scanning())
    counted = costs.count(Subject("swin_umamba", "tiny", 2, 3, (8, 10, 12)))
    # channels, steps, states, and three for each: decay, input, output
    assert counted.multiply_adds == 2 * (8 * 10 * 12) * 4 * 3


@pytest.mark.parametrize("name", registry.names(networks))
def test_every_network_can_be_counted_without_computing(name):
    for size in networks.sizes(name):
        counted = costs.count(Subject(name, size, 2, 3, (96, 96, 96)))
        assert counted.parameters > 0
        assert counted.multiply_adds > 1e9


def test_a_patch_changes_the_options_of_ordinary_sizes_only():
    tall = Subject("swin_unetr", "small", 1, 2, (40, 56, 40)).build()
    assert tall.swinViT.layers1[0].blocks[0].attn.window == (5, 7, 5)
    published = Subject("swin_unetr", "published", 1, 2, (40, 56, 40)).build()
    assert published.swinViT.layers1[0].blocks[0].attn.window == (7, 7, 7)


@pytest.mark.parametrize("work", ["prediction", "gradients", "training step"])
def test_time_and_memory_are_measured(work):
    measured = costs.measure_here(Subject("swin_unetr", "tiny", 1, 2, (32, 32, 32)), work)
    assert 0 < measured.seconds < 60
    assert measured.peak_bytes >= 0


@pytest.mark.slow
def test_a_process_of_its_own_measures_what_the_work_takes():
    measured = costs.measure(Subject("swin_unetr", "tiny", 1, 2, (32, 32, 32)), "training step")
    weights = 4 * costs.count(Subject("swin_unetr", "tiny", 1, 2, (32, 32, 32))).parameters
    assert measured.peak_bytes > 3 * weights  # with their gradients and AdamW's two moments: 4


@pytest.mark.slow
def test_memory_that_runs_out_is_told(monkeypatch):
    def broken(*_args, **_options):
        raise costs.BrokenProcessPool

    monkeypatch.setattr(costs.ProcessPoolExecutor, "submit", broken)
    with pytest.raises(MemoryError, match="swin_unetr in size tiny"):
        costs.measure(Subject("swin_unetr", "tiny", 1, 2, (32, 32, 32)), "prediction")
