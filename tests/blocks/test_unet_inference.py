import copy

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

from medseg.blocks.unet_inference import NormalizedConvolution, hastened

OPTIONS = {
    "n_stages": 3, "features_per_stage": [6, 8, 10], "conv_op": nn.Conv3d,
    "kernel_sizes": [[1, 3, 3], 3, 3], "strides": [1, [1, 2, 2], 2],
    "conv_bias": True, "norm_op": nn.InstanceNorm3d,
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "nonlin": nn.LeakyReLU, "nonlin_kwargs": {"inplace": True},
}  # fmt: skip
KINDS = {
    "plain": (PlainConvUNet, {"n_conv_per_stage": 2, "n_conv_per_stage_decoder": 2}),
    "dropout": (
        PlainConvUNet,
        {"n_conv_per_stage": 1, "n_conv_per_stage_decoder": 1, "dropout_op": nn.Dropout3d,
         "dropout_op_kwargs": {"p": 0.5}},
    ),
    "residual": (ResidualEncoderUNet, {"n_blocks_per_stage": 2, "n_conv_per_stage_decoder": 1}),
}  # fmt: skip


def network_of(kind, **changes):
    torch.manual_seed(0)
    made, options = KINDS[kind]
    network = made(2, num_classes=3, **OPTIONS | options | changes).eval()
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 0.5, 0.5)
    return network


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 2])
def test_the_logits_are_the_same(kind, batch):
    network = network_of(kind)
    image = torch.randn(batch, 2, 6, 12, 8)
    with torch.inference_mode():
        expected = network(image)
        faster = hastened(copy.deepcopy(network))
        torch.testing.assert_close(faster(image), expected, atol=2e-5, rtol=1e-5)
    assert any(isinstance(module, NormalizedConvolution) for module in faster.modules())


def test_blocks_of_another_kind_stay_as_they_are():
    norm = {"norm_op_kwargs": {"eps": 1e-3, "affine": True}}
    network = network_of("plain", **norm)
    image = torch.randn(1, 2, 6, 12, 8)
    with torch.inference_mode():
        expected = network(image)
        faster = hastened(copy.deepcopy(network))
        torch.testing.assert_close(faster(image), expected, atol=2e-5, rtol=1e-5)
    assert not any(isinstance(module, NormalizedConvolution) for module in faster.modules())


def test_another_network_comes_back_untouched():
    network = nn.Conv3d(1, 1, 1)
    assert hastened(network) is network
    assert network.weight.requires_grad


def test_the_control_network_is_hastened_inside():
    from medseg import networks

    torch.manual_seed(0)
    network = networks.build("res_enc_unet", in_channels=1, out_channels=2, size="tiny").eval()
    image = torch.randn(1, 1, 9, 8, 7)
    with torch.inference_mode():
        expected = network(image)
        faster = hastened(copy.deepcopy(network))
        torch.testing.assert_close(faster(image), expected, atol=2e-5, rtol=1e-5)
    assert any(isinstance(module, NormalizedConvolution) for module in faster.modules())
