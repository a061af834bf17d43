from pathlib import Path

import pytest

from medseg.errors import ModelError
from medseg.nnunet_bundle import plans
from tests import nnunet_results as results


def parsed(name="3d_fullres", **changes):
    return plans.parse(results.plans(**changes), name, where=Path("plans.json"))


def test_a_configuration_is_read():
    found = parsed()
    assert found.patch == (16, 20, 24)
    assert found.spacing_mm == (1.0, 1.0, 1.0)
    assert found.network.endswith("unet.PlainConvUNet")
    assert not found.turned
    assert found.intensities[0]["std"] == 55.0
    assert (found.data.order, found.probabilities.order) == (3, 1)


def test_what_a_configuration_lacks_is_inherited():
    document = results.plans()
    document["configurations"] |= {
        "large": {"inherits_from": "middle", "patch_size": [32, 40, 48]},
        "middle": {"inherits_from": "3d_fullres", "spacing": [2.0, 2.0, 2.0]},
    }
    found = plans.parse(document, "large", where=Path())
    assert found.patch == (32, 40, 48)
    assert found.spacing_mm == (2.0, 2.0, 2.0)
    assert found.schemes == ("ZScoreNormalization",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch_size": [40, 40]}, "segments slices"),
        ({"previous_stage": "3d_lowres"}, "second stage of a cascade.*3d_lowres"),
        ({"image_reader_writer": "Tiff3DIO"}, "Tiff3DIO.*SimpleITKIO"),
        ({"normalization_schemes": ["Mine"]}, "normalises with Mine.*CTNormalization"),
        ({"resampling_fn_data": "no_resampling"}, "resampling_fn_data no_resampling"),
        ({"resampling_fn_data_kwargs": {"order": 5}}, "order 5"),
        ({"preprocessor_name": "Mine"}, "preprocessor_name Mine"),
        ({"label_manager": "Mine"}, "label_manager Mine"),
        ({"patch_size": None}, "does not describe"),
    ],
)
def test_what_medseg_does_not_have_is_refused_by_name(changes, said):
    with pytest.raises(ModelError, match=said):
        parsed(**changes)


def test_a_circle_of_configurations_is_refused():
    document = results.plans()
    document["configurations"]["a"] = {"inherits_from": "b"}
    document["configurations"]["b"] = {"inherits_from": "a"}
    with pytest.raises(ModelError, match="inherits from itself"):
        plans.parse(document, "a", where=Path())


def test_plans_of_older_releases_describe_their_network():
    document = results.plans()
    fields = document["configurations"]["3d_fullres"]
    del fields["architecture"]
    fields |= {
        "UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 32,
        "unet_max_num_features": 80, "n_conv_per_stage_encoder": [2, 2, 1],
        "n_conv_per_stage_decoder": [2, 2], "conv_kernel_sizes": [[3, 3, 3]] * 3,
        "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
    }  # fmt: skip
    found = plans.parse(document, "3d_fullres", where=Path())
    assert found.network.endswith("PlainConvUNet")
    assert found.options["features_per_stage"] == [32, 64, 80]
    assert found.options["n_conv_per_stage"] == [2, 2, 1]


@pytest.mark.parametrize(
    ("separate", "spacing", "target", "axis"),
    [
        (None, (5.0, 1.0, 1.0), (1.0, 1.0, 1.0), 0),
        (None, (1.0, 1.0, 1.0), (1.0, 1.0, 3.5), 2),
        (None, (3.0, 1.0, 1.0), (1.0, 1.0, 1.0), None),  # thick is more than three times
        (None, (5.0, 5.0, 1.0), (5.0, 1.0, 1.0), None),  # two thick axes
        (False, (5.0, 1.0, 1.0), (1.0, 1.0, 1.0), None),
        (True, (1.5, 1.0, 1.0), (1.0, 1.0, 1.0), 0),
    ],
)
def test_thick_slices_are_treated_by_themselves(separate, spacing, target, axis):
    assert plans.Resampling(3, 0, separate, 3.0).separate_axis(spacing, target) == axis
