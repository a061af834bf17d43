"""Networks by name and size."""

import pytest
from torch import nn

from medseg import networks


def test_a_size_stands_for_its_options():
    base = networks.build("swin_unetr", in_channels=1, out_channels=14, size="base")
    # MONAI 1.6.1's SwinUNETR with 48 features has as many parameters
    assert sum(parameter.numel() for parameter in base.parameters()) == 62_187_296


def test_options_come_before_the_size():
    both = networks.build("swin_unetr", in_channels=1, out_channels=14, size="base", features=12)
    assert sum(parameter.numel() for parameter in both.parameters()) == 4_078_220


def test_an_unknown_size_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"choose from \['base', 'published', 'small', 'tiny'\]"):
        networks.build("swin_unetr", in_channels=1, out_channels=2, size="huge")


def test_an_unknown_network_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="choose from"):
        networks.fitted("swinunetr", (32, 32, 32))


def test_a_network_that_does_not_name_its_head_is_refused():
    with pytest.raises(ValueError, match="Linear has no HEAD_BIAS"):
        networks.head_bias(nn.Linear(1, 1))


def test_sizes_and_sources_are_told():
    assert networks.sizes("swin_unetr") == ["tiny", "small", "base", "published"]
    assert networks.source("swin_unetr").startswith("Hatamizadeh et al. 2022, Swin UNETR")
    assert "Differs" not in networks.source("res_enc_unet")
