"""What a step needs is counted before it is taken."""

import pytest
import torch
from torch import nn

from medseg import memory, networks
from medseg.training import losses, memory_need


class Square(nn.Module):
    """Keeps two numbers per voxel; with a coarser scale three."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image):
        return (image * self.scale) ** 2

    def deep_supervision(self, image):
        return [self(image), (image + 1).exp()]


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(("deep", "numbers"), [(False, 2), (True, 3)])
def test_what_a_network_keeps_is_counted_once_and_without_weights(device, deep, numbers):
    network = Square().to(device)
    image = torch.zeros(1, 1, 4, 5, 6, device=device, requires_grad=True)
    # of each voxel: the image (for the scale) and image * scale (for the square); the exponential
    assert memory_need.kept_bytes(network, image, deep=deep) == numbers * 4 * 120


@pytest.mark.parametrize("name", ["swin_unetr", "ds_transunet", "res_enc_unet"])
def test_counting_without_values_is_close_to_what_a_cpu_keeps(name):
    counted = []
    for device in ("meta", "cpu"):
        with torch.device(device):
            network = networks.build(name, in_channels=1, out_channels=2, size="tiny")
            image = torch.zeros(1, 1, 32, 32, 32)
        counted.append(memory_need.kept_bytes(network, image, deep=True))
    assert counted[0] == pytest.approx(counted[1], rel=0.5)


def test_a_step_needs_five_copies_of_the_weights_and_more_than_is_kept():
    need = memory_need.need(Square(), torch.zeros(1, 1, 4, 5, 6), out_channels=3, deep=False)
    # one weight of four bytes; an image and its square are kept, of 120 voxels in four bytes, and
    # of three channels the logits, their softmax and the targets
    assert need.weights == 5 * 4
    assert need.image >= 2 * 480 + 3 * 3 * 480
    assert need.of(3) == need.weights + 3 * need.image
    assert need.fitting(need.of(3)) == 3
    assert need.fitting(need.of(3) - 1) == 2
    assert need.fitting(0) == 0


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_loss_keeps_no_more_than_is_counted(exclusive):
    class Loss(nn.Module):
        def forward(self, logits):
            return losses.dice_cross_entropy(logits, torch.zeros(logits.shape), exclusive=exclusive)

    kept = memory_need.kept_bytes(Loss(), torch.zeros(1, 3, 8, 8, 8, requires_grad=True), deep=True)
    one = 4 * 3 * 8**3
    assert one < kept <= memory_need.LOSS * one


@pytest.mark.parametrize(
    ("name", "gibibytes"),
    [
        ("swin_unetr", 4.11),
        ("ds_transunet", 2.35),
        ("d_former", 2.06),
        ("swin_umamba", 3.14),
        ("res_enc_unet", 3.17),
    ],
)
def test_no_network_was_measured_to_need_more(name, gibibytes):
    # the peaks of a forward and backward pass in benchmarks/RESULTS.md, weights and gradients too
    with torch.device("meta"):
        options = networks.fitted(name, (96, 96, 96), size="base")
        network = networks.build(name, in_channels=1, out_channels=14, size="base", **options)
        image = torch.zeros(1, 1, 96, 96, 96)
    counted = memory_need.need(network, image, out_channels=0, deep=True)  # without a loss
    measured = gibibytes * 2**30 - 2 * counted.weights / memory_need.COPIES
    assert measured / 1.02 <= counted.image <= 2 * measured  # given to three digits


def test_on_a_cpu_half_of_the_memory_is_planned_with(monkeypatch):
    monkeypatch.setattr(memory, "total_bytes", lambda: 1000)
    assert memory_need.budget_bytes(torch.device("cpu")) == 500
    assert memory_need.budget_bytes(torch.device("cpu"), sharing=2) == 250


@pytest.mark.parametrize(("gigabytes", "planned"), [(10, 8e9), (80, 24e9)])
def test_on_a_gpu_no_more_than_24_gb_are(monkeypatch, gigabytes, planned):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (0, gigabytes * 10**9))
    assert memory_need.budget_bytes(torch.device("cuda"), sharing=2) == planned  # of one each
