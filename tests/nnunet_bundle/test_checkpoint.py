import shutil
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from medseg.errors import ModelError
from medseg.nnunet_bundle import checkpoint


@pytest.fixture
def path(results_folder, tmp_path):
    return Path(shutil.copy(results_folder / "fold_0" / "checkpoint_final.pth", tmp_path))


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (open, (str(self.place), "w"))


def changed(path, **entries):
    content = torch.load(path, weights_only=False)
    torch.save(content | entries, path)


def test_a_checkpoint_of_nnunet_is_read(path):
    found = checkpoint.read(path)
    assert found.configuration == "3d_fullres"
    assert found.trainer == "nnUNetTrainer"
    assert found.mirror_axes == (0, 1, 2)
    assert found.weights["decoder.seg_layers.0.weight"].shape == (3, 8, 1, 1, 1)


def test_it_holds_numbers_of_numpy_that_pytorch_alone_refuses(path):
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    assert "numpy._core.multiarray.scalar" in names
    assert checkpoint.read(path)


def test_an_attack_is_refused_before_it_runs(path, tmp_path):
    place = tmp_path / "attacked"
    changed(path, logging=Attack(place))
    with pytest.raises(ModelError, match=r"was not opened: (_?io|builtins)\.open"):
        checkpoint.read(path)
    assert not place.exists()


def test_a_class_of_numpy_that_is_no_number_is_refused(path):
    import numpy as np

    changed(path, logging=np.random.default_rng(0))
    with pytest.raises(ModelError, match=r"was not opened: .*numpy\.random"):
        checkpoint.read(path)


@pytest.mark.parametrize(
    "entries", [{"network_weights": OrderedDict(a="no tensor")}, {"init_args": {}}]
)
def test_what_is_no_checkpoint_of_nnunet_is_refused(path, entries):
    changed(path, **entries)
    with pytest.raises(ModelError, match="is no checkpoint of nnU-Net"):
        checkpoint.read(path)


def test_a_damaged_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError):
        checkpoint.read(path)
