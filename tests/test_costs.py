"""What a network costs."""

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
import torch
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


TINY = Subject("swin_unetr", "tiny", 1, 2, (32, 32, 32))


@pytest.mark.parametrize("work", ["prediction", "gradients", "training step"])
def test_time_and_memory_are_measured(work):
    measured = costs.measure_here(TINY, work, "cpu")
    assert 0 < measured.seconds < 60
    assert measured.peak_bytes >= 0
    assert measured.device == "cpu"


@pytest.mark.slow
def test_a_process_of_its_own_measures_what_the_work_takes_and_no_more():
    held = np.ones(800 * 2**20, np.uint8)  # a child must not count what its parent holds
    threads = torch.get_num_threads() + 1
    measured = costs.measure(TINY, "training step", device="cpu", threads=threads)
    weights = 4 * costs.count(TINY).parameters
    # weights with their gradients and AdamW's two moments are 4 times the weights
    assert 3 * weights < measured.peak_bytes < 500 * 2**20
    assert (measured.device, measured.threads) == ("cpu", threads)
    assert held.all()


def pool_that_ends_in(error):
    """A pool of processes in which work ends with an error."""

    class Pool:
        def __init__(self, *_args, **_options):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_error):
            return None

        def submit(self, *_args):
            future = Future()
            future.set_exception(error)
            return future

    return Pool


def torch_without_memory():
    """The error of torch itself."""
    try:
        torch.empty(2**58, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError("there was memory")


@pytest.mark.parametrize(
    "error",
    [BrokenProcessPool("died"), torch.OutOfMemoryError("CUDA"), torch_without_memory()],
    ids=["process ended", "GPU", "CPU"],
)
def test_memory_that_runs_out_is_told(monkeypatch, error):
    monkeypatch.setattr(costs, "ProcessPoolExecutor", pool_that_ends_in(error))
    with pytest.raises(MemoryError, match="swin_unetr in size tiny"):
        costs.measure(TINY, "prediction")


def test_other_errors_are_no_lack_of_memory(monkeypatch):
    monkeypatch.setattr(costs, "ProcessPoolExecutor", pool_that_ends_in(RuntimeError("a fault")))
    with pytest.raises(RuntimeError, match="a fault"):
        costs.measure(TINY, "prediction")
