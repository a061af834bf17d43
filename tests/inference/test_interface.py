import shutil
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest

import medseg
from medseg import formats, model_list
from medseg.errors import ImageError, ModelError, UsageError
from medseg.segmentation import Segmentation
from medseg.volume import Grid, Volume


@pytest.fixture(scope="module")
def predictor(untrained):
    return medseg.Predictor(untrained.folder, device="cpu")


def test_one_call_gives_a_segmentation_on_the_scan_s_grid(scan, untrained):
    found = medseg.predict(scan, untrained.folder)
    assert isinstance(found, Segmentation)
    assert np.array_equal(found.grid.affine, nibabel.load(scan).affine)
    assert found.label_map.shape == nibabel.load(scan).shape


def test_a_path_a_text_a_folder_a_volume_and_channels_mean_one_scan(scan, predictor):
    expected = predictor(scan).label_map
    for given in (str(scan), scan.parent, formats.read(scan), {"t1": scan}):
        assert np.array_equal(predictor(given).label_map, expected)


def test_the_only_model_on_the_machine_need_not_be_named(scan, untrained, home):
    model_list.add(untrained)
    assert medseg.predict(scan).task == untrained.task
    assert home.is_dir()


def test_calls_from_many_threads_give_what_calls_in_turn_give(predictor, rng):
    volumes = [
        Volume(
            rng.normal(100, 20, (1, 17 + n, 20 - n, 18)).astype(np.float32),
            Grid((17 + n, 20 - n, 18), np.eye(4)),
        )
        for n in range(4)
    ]
    in_turn = [predictor(volume).label_map for volume in volumes]
    assert any(label_map.any() for label_map in in_turn)
    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(lambda volume: predictor(volume).label_map, volumes * 2))
    for expected, found in zip(in_turn * 2, at_once, strict=True):
        assert np.array_equal(found, expected)


def test_what_cannot_be_segmented_is_refused(scan, predictor, tmp_path):
    with pytest.raises(ImageError, match="the volume given: has 2 channels"):
        predictor(Volume(np.random.rand(2, 4, 4, 4), Grid((4, 4, 4), np.eye(4))))  # noqa: NPY002
    with pytest.raises(ImageError, match="the volume given: is constant"):
        predictor(Volume(np.ones((1, 4, 4, 4)), Grid((4, 4, 4), np.eye(4))))
    with pytest.raises(UsageError, match="has no channel 'ct'"):
        predictor({"ct": scan})
    wrong = shutil.copy(scan, scan.with_name("b_t2.nii.gz"))
    with pytest.raises(UsageError, match="holds 2 scans: b_t2, scan"):
        predictor(scan.parent)
    with pytest.raises(UsageError, match="its name says t2"):
        predictor(wrong)
    with pytest.raises(ModelError, match="holds no trained model"):
        medseg.Predictor(tmp_path)


def test_the_package_offers_nothing_else():
    with pytest.raises(AttributeError, match="has no attribute 'segment'"):
        _ = medseg.segment
