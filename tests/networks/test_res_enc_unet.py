"""The control is nnU-Net's own network, on images of any size."""

import pytest
import torch
from torch import nn

from medseg.networks.res_enc_unet import SIZES, ResEncUNet, fitted


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ResEncUNet(in_channels=1, out_channels=2, **SIZES["tiny"]).eval()


def test_logits_are_those_of_nnunets_class(network):
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

    theirs = ResidualEncoderUNet(
        1, 3, [12, 24, 48], nn.Conv3d, 3, [1, 2, 2], [1, 1, 1], 2, 1, True, nn.InstanceNorm3d,
        {"eps": 1e-5, "affine": True}, None, None, nn.LeakyReLU, {"inplace": True},
    ).eval()  # fmt: skip
    report = theirs.load_state_dict(network.unet.state_dict(), strict=False)
    assert report.unexpected_keys == []
    assert all("seg_layers.0" in key for key in report.missing_keys)  # the head without a use
    image = torch.randn(1, 1, 8, 12, 16)
    with torch.no_grad():
        assert torch.equal(network(image), theirs(image))


def test_padding_is_zeros_at_the_end(network):
    image = torch.randn(1, 1, 6, 7, 9)
    filled = nn.functional.pad(image, (0, 3, 0, 1, 0, 2))
    with torch.no_grad():
        assert torch.equal(network(image), network(filled)[:, :, :6, :7, :9])


def test_the_small_size_is_small():
    with torch.device("meta"):
        small = ResEncUNet(in_channels=1, out_channels=14, **SIZES["small"])
    assert 5e6 < sum(parameter.numel() for parameter in small.parameters()) < 15e6


def test_scales_need_an_entry_each():
    with pytest.raises(ValueError, match="one entry per scale"):
        ResEncUNet(in_channels=1, out_channels=2, features=(8, 16), blocks=(1,))


def test_strides_that_are_fewer_leave_out_scales_and_kernels_go_with_them():
    options = {"strides": ((1, 2, 2), 2), "kernels": ((1, 3, 3), 3, 3), "features": (8, 16, 24, 32)}
    network = ResEncUNet(in_channels=1, out_channels=2, blocks=(1, 1, 1, 1), **options)
    shapes = [stage.blocks[0].conv1.conv.weight.shape for stage in network.unet.encoder.stages]
    assert [(s[0], *s[2:]) for s in map(tuple, shapes)] == [
        (8, 1, 3, 3),
        (16, 3, 3, 3),
        (24, 3, 3, 3),
    ]
    image = torch.randn(1, 1, 3, 9, 6)  # padded to multiples of 2 4 4
    assert network.eval()(image).shape == (1, 2, 3, 9, 6)
    with pytest.raises(ValueError, match="an entry for each of 3 scales"):
        ResEncUNet(in_channels=1, out_channels=2, **SIZES["tiny"], kernels=(3, 3))


def test_thick_slices_get_the_strides_and_kernels_of_nnunets_plan():
    # nnU-Net's plan for ACDC: voxels of 5 1.5625 1.5625 mm, patches of 20 256 224
    assert fitted((20, 256, 224), (5.0, 1.5625, 1.5625)) == {
        "strides": ((1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2)),
        "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    }
    assert fitted((40, 56, 40), (1.0, 1.0, 1.0)) == {}
    assert fitted((4, 4, 4), (5.0, 1.0, 1.0)) == {}
