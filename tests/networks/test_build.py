"""Networks by name and size."""

import pytest
import torch
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


def test_a_networks_own_names_are_always_a_source():
    for name in ("d_former", "ds_transunet", "swin_umamba", "swin_unetr"):
        trained, fresh = (
            networks.build(name, in_channels=1, out_channels=2, size="tiny") for _ in range(2)
        )
        report = networks.load_published(fresh, trained.state_dict())
        assert (report.missing, report.unexpected, report.adapted) == ((), (), ())
        state = fresh.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in trained.state_dict().items())


def test_a_model_with_other_windows_leaves_its_tables_of_biases():
    trained, fresh = (
        networks.build("swin_unetr", in_channels=1, out_channels=2, size="tiny", window=window)
        for window in ((3, 4, 3), 4)
    )
    report = networks.load_published(fresh, trained.state_dict())
    assert {name.rpartition(".")[2] for name in report.missing} == {"relative_position_bias_table"}


def test_an_unknown_option_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"has no option 'windw'; choose from .*window"):
        networks.build("swin_unetr", in_channels=1, out_channels=2, windw=7)
