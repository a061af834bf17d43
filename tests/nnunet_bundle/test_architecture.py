from pathlib import Path

import pytest
import torch
from torch import nn

from medseg.errors import ModelError
from medseg.nnunet_bundle import architecture
from tests import nnunet_results as results

PLACES = {"in_channels": 1, "out_channels": 3, "where": Path("plans.json")}


@pytest.mark.parametrize(
    ("name", "options"),
    [("PlainConvUNet", results.PLAIN), ("ResidualEncoderUNet", results.RESIDUAL)],
)
def test_the_networks_of_nnunet_are_built(name, options):
    network = architecture.build(results.UNET + name, options, **PLACES)
    assert type(network).__name__ == name
    assert network.eval()(torch.zeros(1, 1, 4, 8, 8)).shape == (1, 3, 4, 8, 8)


def test_other_networks_are_refused_by_name():
    with pytest.raises(ModelError, match=r"of a network os\.system; medseg builds PlainConvUNet"):
        architecture.build("os.system", {}, **PLACES)


@pytest.mark.parametrize("name", ["torch.nn.Mine", "os.LeakyReLU"])
def test_other_layers_are_refused_by_name(name):
    with pytest.raises(ModelError, match=f"asks for nonlin {name}"):
        architecture.build("PlainConvUNet", results.PLAIN | {"nonlin": name}, **PLACES)


def test_weights_of_another_network_are_refused():
    network = architecture.build("PlainConvUNet", results.PLAIN, **PLACES)
    with pytest.raises(ModelError, match="does not fit the network of its plans"):
        architecture.fill(network, {"a": torch.zeros(1)}, where=Path("x.pth"))


def test_tiles_of_any_size_are_filled_up():
    assert architecture.multiple_of([1, [1, 2, 2], 2]) == (2, 4, 4)
    network = architecture.build("PlainConvUNet", results.PLAIN, **PLACES).eval()
    whole = architecture.AnySize(network, architecture.multiple_of(results.PLAIN["strides"]))
    image = torch.randn(1, 1, 5, 7, 8)
    filled = nn.functional.pad(image, (0, 0, 0, 1, 0, 1))
    with torch.inference_mode():
        torch.testing.assert_close(whole(image), network(filled)[:, :, :5, :7])
        torch.testing.assert_close(whole(filled), network(filled))
