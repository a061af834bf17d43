import base64
import gzip
import io

import nibabel
import numpy as np
import pytest
from PIL import Image

from medseg import task as tasks
from medseg.mesh import Mesh
from medseg.report import surfaces
from medseg.segmentation import Segmentation
from medseg.volume import Grid
from tests.fake_results import SHAPE, affine_of, bodies

TASK = tasks.read("phantom")


@pytest.fixture
def found():
    return surfaces.surfaces(Segmentation(bodies(), Grid(SHAPE, affine_of()), TASK))


def test_every_label_that_is_there_has_its_surface(found):
    assert {surface.number for surface in found} == {1, 2, 3}
    voxel_ml = abs(np.linalg.det(affine_of()[:3, :3])) / 1000
    for surface in found:
        value = {1: 1, 2: 2, 3: 4}[surface.number]
        volume_ml = (bodies() == value).sum() * voxel_ml
        assert surface.mesh.volume_ml == pytest.approx(volume_ml, rel=0.01)
    inner_mm = affine_of()[:3] @ [12, 18, 10, 1]
    inner = next(surface for surface in found if surface.number == 3)
    assert inner.mesh.points_mm.mean(axis=0) == pytest.approx(inner_mm, abs=0.5)


def test_what_lies_around_another_is_translucent_and_comes_after_it(found):
    opacities = [surface.opacity for surface in found]
    assert opacities == sorted(opacities, reverse=True)
    assert {surface.number for surface in found if surface.opacity < 1} == {2}


def test_an_empty_segmentation_has_none():
    nothing = Segmentation(np.zeros(SHAPE, np.uint8), Grid(SHAPE, affine_of()), TASK)
    assert surfaces.surfaces(nothing) == []


def test_a_large_label_is_drawn_from_coarser_voxels(monkeypatch, found):
    monkeypatch.setattr(surfaces, "MOST_VOXELS", 1_000)
    rough = surfaces.surfaces(Segmentation(bodies(), Grid(SHAPE, affine_of()), TASK))
    assert len(rough[0].mesh.triangles) < len(found[0].mesh.triangles) / 2
    apart_mm = rough[0].mesh.points_mm.mean(axis=0) - found[0].mesh.points_mm.mean(axis=0)
    assert abs(apart_mm).max() < 2


def test_triangles_are_written_as_mz3_has_them():
    mesh = Mesh(np.array([[0.0, 1, 2], [3, 4, 5], [6, 7, 8.25]]), np.array([[0, 1, 2]]))
    content = gzip.decompress(base64.b64decode(surfaces.encoded(mesh)))
    assert content[:4] == bytes([0x4D, 0x5A, 3, 0])
    assert np.frombuffer(content[4:16], "<u4").tolist() == [1, 3, 0]
    assert np.frombuffer(content[16:28], "<i4").tolist() == [0, 1, 2]
    assert np.frombuffer(content[28:], "<f4").tolist() == mesh.points_mm.ravel().tolist()


def test_the_picture_shows_what_is_in_front_with_the_patients_right_on_the_left():
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[5:25, 5:25, 5:25] = 1  # rim
    labels[19:25, 25:29, 10:20] = 4  # inner: at the front, on the right
    grid = Grid(labels.shape, np.eye(4))
    assert nibabel.aff2axcodes(grid.affine) == ("R", "A", "S")
    picture = surfaces.picture(surfaces.surfaces(Segmentation(labels, grid, TASK)))
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture)))).astype(int)
    front = shown[:, : shown.shape[1] // 3]
    red = front[..., 0] > front[..., 1] + 50
    green = front[..., 1] > front[..., 0] + 20
    assert red.sum() > 100
    assert green.sum() > red.sum()
    assert np.nonzero(red)[1].mean() < np.nonzero(green)[1].mean()
    left = shown[:, shown.shape[1] // 3 : 2 * shown.shape[1] // 3]
    columns = np.nonzero((left[..., 0] > left[..., 1] + 50) & (left[..., 3] > 0))[1]
    body = np.nonzero(left[..., 1] > left[..., 0] + 20)[1]
    assert columns.mean() < body.mean()  # the front is on the left
    assert shown[0, 0, 3] == 0


@pytest.mark.parametrize("view", surfaces.VIEWS)
def test_no_view_is_a_mirror_image(view):
    right, up, towards = np.array(surfaces._AXES[view])
    assert np.cross(right, up).tolist() == towards.tolist()


@pytest.mark.parametrize(("place", "is_seen"), [(slice(1, 5), True), (slice(25, 29), False)])
def test_the_view_from_below_shows_what_is_below_with_the_patients_right_on_the_left(
    place, is_seen
):
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[5:25, 5:25, 5:25] = 1  # rim
    labels[17:23, 17:23, place] = 4  # inner: on the right, at the front
    grid = Grid(labels.shape, np.eye(4))
    picture = surfaces.picture(surfaces.surfaces(Segmentation(labels, grid, TASK)))
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture)))).astype(int)
    below = shown[:, 2 * shown.shape[1] // 3 :]
    red = below[..., 0] > below[..., 1] + 50
    green = below[..., 1] > below[..., 0] + 20
    assert (red.sum() > 100) == is_seen
    if is_seen:
        assert np.nonzero(red)[1].mean() < np.nonzero(green)[1].mean()  # right on the left
        assert np.nonzero(red)[0].mean() < np.nonzero(green)[0].mean()  # front above
