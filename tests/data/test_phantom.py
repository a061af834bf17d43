import json

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from medseg import formats
from medseg.data import phantom
from medseg.errors import OutputError

SEEDS = range(8)


@pytest.fixture(scope="module")
def cases():
    return [phantom.make_case(seed) for seed in SEEDS]


def dice(found, core):
    return 2 * np.count_nonzero(found & core) / (np.count_nonzero(found) + np.count_nonzero(core))


def test_a_case_has_two_channels_and_the_task_s_labels(cases, phantom_task):
    values = {0, *(label.value for label in phantom_task.labels.values())}
    for voxels, label_map in cases:
        assert voxels.shape == (2, 48, 48, 40)
        assert set(np.unique(label_map).tolist()) == values


def test_the_same_seed_gives_the_same_case_and_another_another(cases):
    voxels, label_map = phantom.make_case(3)
    assert np.array_equal(voxels, cases[3][0])
    assert np.array_equal(label_map, cases[3][1])
    assert not np.array_equal(label_map, cases[4][1])


def test_structures_are_nested_and_not_tiny(cases):
    for _, label_map in cases:
        whole, core, inner = label_map > 0, label_map > 1, label_map == 4
        # balls of 7.5, 4.5 and 3 mm: what is left when growth is uneven and bodies are cut
        assert np.count_nonzero(whole) > 4 / 3 * np.pi * 7.5**3
        assert np.count_nonzero(core) > 4 / 3 * np.pi * 4.5**3
        assert np.count_nonzero(inner) > 4 / 3 * np.pi * 2.5**3
        assert ndimage.label(whole)[1] == 1


def test_no_threshold_of_a_case_finds_the_core(cases):
    for voxels, label_map in cases:
        core = label_map > 1
        for channel in voxels:
            for threshold in np.quantile(channel, np.linspace(0.002, 0.998, 150)):
                assert dice(channel > threshold, core) < 0.6
                assert dice(channel < threshold, core) < 0.6


def test_no_threshold_of_the_set_finds_the_core(cases):
    core = np.stack([label_map > 1 for _, label_map in cases])
    for channel in np.stack([voxels for voxels, _ in cases], axis=1):
        for threshold in np.quantile(channel, np.linspace(0.01, 0.99, 60)):
            assert dice(channel > threshold, core) < 0.6
            assert dice(channel < threshold, core) < 0.6


def test_the_two_channels_together_show_the_core(cases):
    # What a network can learn: around the core, one channel is bright where the other is dark.
    for voxels, label_map in cases:
        first, second = (channel / np.median(channel[label_map == 1]) for channel in voxels)
        assert np.median((first - second)[label_map == 2]) > 0.3
        assert np.median((first - second)[label_map == 4]) < -0.3
        assert abs(np.median((first - second)[label_map == 1])) < 0.1


def test_the_anatomy_does_not_depend_on_the_grid():
    _, fine = phantom.make_case(5)
    affine = phantom.centred_affine((24, 24, 20), (2.0, 2.0, 2.0))
    _, coarse = phantom.make_case(5, (24, 24, 20), affine)
    for value in (1, 2, 4):
        assert np.count_nonzero(coarse == value) * 8 == pytest.approx(
            np.count_nonzero(fine == value), rel=0.12
        )


def test_a_turned_grid_sees_the_same_anatomy_from_another_side():
    _, straight = phantom.make_case(6)
    affine = phantom.centred_affine((48, 48, 40))
    turned = affine[:, [2, 1, 0, 3]] * (1, -1, 1, 1)  # k, then j backwards, then i
    turned[1, 3] = -affine[1, 3]
    _, seen = phantom.make_case(6, (40, 48, 48), turned)
    assert np.array_equal(seen.transpose(2, 1, 0)[:, ::-1], straight)


def test_the_centre_of_a_centred_grid_is_the_origin():
    affine = phantom.centred_affine((10, 11, 12), (1.0, 2.0, 3.0))
    assert affine @ (4.5, 5.0, 5.5, 1) == pytest.approx((0, 0, 0, 1))


@pytest.fixture
def dataset(tmp_path):
    shape, spacing_mm = (12, 12, 5), (4.0, 4.0, 8.0)
    options = {"cases": 2, "test_cases": 1, "seed": 7, "shape": shape, "spacing_mm": spacing_mm}
    phantom.write_dataset(tmp_path / "set", **options)
    phantom.write_dataset(tmp_path / "again", **options)
    return tmp_path


def test_the_data_set_has_the_layout_of_the_decathlon(dataset, phantom_task):
    description = json.loads((dataset / "set/dataset.json").read_text())
    assert (description["numTraining"], description["numTest"]) == (2, 1)
    assert description["modality"] == {"0": "first", "1": "second"}
    assert description["labels"] == {"0": "background", "1": "rim", "2": "mantle", "4": "inner"}
    assert list(phantom_task.channels) == list(description["modality"].values())
    assert description["test"] == ["./imagesTs/phantom_002.nii.gz"]
    for case in description["training"]:
        image = nibabel.load(dataset / "set" / case["image"])
        label = nibabel.load(dataset / "set" / case["label"])
        assert image.shape == (12, 12, 5, 2)
        assert label.shape == (12, 12, 5)
        assert np.array_equal(image.affine, label.affine)
        assert image.header.get_zooms()[:3] == (4.0, 4.0, 8.0)
    assert (dataset / "set/labelsTs/phantom_002.nii.gz").is_file()


def test_the_same_seed_gives_the_same_files(dataset):
    written = sorted(path.relative_to(dataset / "set") for path in dataset.glob("set/*/*"))
    assert len(written) == 6
    for path in written:
        assert (dataset / "set" / path).read_bytes() == (dataset / "again" / path).read_bytes()


def test_written_labels_are_labels_of_the_task(dataset, phantom_task):
    for path in dataset.glob("set/labels*/*.nii.gz"):
        formats.read_segmentation(path, phantom_task)


def test_a_grid_of_one_s_own_is_kept(tmp_path):
    affine = np.array([[0, -4.0, 0, 22], [4, 0, 0, -22], [0, 0, 8, -16], [0, 0, 0, 1]])
    phantom.write_dataset(tmp_path, cases=1, seed=1, shape=(12, 12, 5), affine=affine)
    assert np.array_equal(formats.read(tmp_path / "imagesTr/phantom_000.nii.gz").affine, affine)


def test_a_place_that_cannot_be_written_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="A file stands where a folder is needed"):
        phantom.write_dataset(tmp_path / "file", cases=1, seed=1, shape=(4, 4, 4))
