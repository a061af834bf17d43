"""Surfaces, read by trimesh."""

import numpy as np
import pytest
import trimesh

from medseg import export
from medseg.export import Settings, stl
from medseg.segmentation import Segmentation
from medseg.volume import Grid

SHAPE = (30, 26, 12)
AFFINE = np.array([[0, -0.8, 0, 10.0], [1.5, 0, 0, -20.0], [0, 0, -2.5, 33.25], [0, 0, 0, 1.0]])


@pytest.fixture
def two_bodies(hippocampus_task):
    """An ellipsoid in the middle, and a block that the image's border cuts off."""
    places = np.moveaxis(np.indices(SHAPE), 0, -1)
    label_map = np.zeros(SHAPE, np.uint8)
    label_map[(((places - (14, 12, 6)) / (9, 8, 3)) ** 2).sum(axis=-1) <= 1] = 1
    label_map[25:, :9, :4] = 2
    return Segmentation(label_map, Grid(SHAPE, AFFINE), hippocampus_task)


def test_each_label_is_closed_around_the_volume_of_its_voxels(two_bodies, tmp_path):
    stl.write(tmp_path / "a_stl", two_bodies)
    assert sorted(path.name for path in (tmp_path / "a_stl").iterdir()) == [
        "anterior.stl",
        "posterior.stl",
    ]
    for value, name in enumerate(("anterior", "posterior"), start=1):
        surface = trimesh.load_mesh(tmp_path / "a_stl" / f"{name}.stl")
        volume_mm3 = (two_bodies.label_map == value).sum() * 0.8 * 1.5 * 2.5
        assert surface.is_watertight
        assert surface.volume == pytest.approx(volume_mm3, rel=0.01)  # positive: faces outwards


def test_it_lies_where_the_voxels_do_in_lps_millimetres(two_bodies, tmp_path):
    stl.write(tmp_path / "a_stl", two_bodies)
    surface = trimesh.load_mesh(tmp_path / "a_stl" / "anterior.stl")
    ras = AFFINE[:3] @ (14, 12, 6, 1)
    assert surface.center_mass == pytest.approx(ras * (-1, -1, 1), abs=0.1)
    half_mm = np.array([8 * 0.8, 9 * 1.5, 3 * 2.5])
    assert np.ptp(surface.bounds, axis=0) / 2 == pytest.approx(half_mm, abs=1.3)  # half a voxel


def test_normals_point_outwards(two_bodies, tmp_path):
    stl.write(tmp_path / "a_stl", two_bodies)
    content = (tmp_path / "a_stl" / "anterior.stl").read_bytes()
    assert not content.startswith(b"solid")  # which would say that it is text
    triangles = np.frombuffer(content[84:], dtype="<f4,<f4,<f4,(3,3)<f4,<u2")
    normals = np.stack([triangles[f"f{axis}"] for axis in range(3)], axis=-1)
    centre = (AFFINE[:3] @ (14, 12, 6, 1)) * (-1, -1, 1)
    outwards = triangles["f3"].mean(axis=1) - centre
    assert ((normals * outwards).sum(axis=1) > 0).mean() > 0.99


def test_what_is_not_there_has_no_file_and_loses_an_earlier_one(two_bodies, tmp_path):
    folder = tmp_path / "a_stl"
    stl.write(folder, two_bodies)
    (folder / "notes.txt").touch()
    empty = Segmentation(two_bodies.label_map * 0, two_bodies.grid, two_bodies.task)
    stl.write(folder, empty)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_regions_are_surfaces_too_if_asked_for(phantom_task, tmp_path):
    label_map = np.zeros(SHAPE, np.uint8)
    label_map[4:12, 4:12, 3:6] = 2
    label_map[12:20, 4:12, 3:6] = 4
    found = Segmentation(label_map, Grid(SHAPE, AFFINE), phantom_task)
    export.write(tmp_path / "a_stl", found, Settings(regions=True))
    names = {path.stem for path in (tmp_path / "a_stl").iterdir()}
    assert names == {"mantle", "inner", "region.whole", "region.core"}
    core = trimesh.load_mesh(tmp_path / "a_stl" / "region.core.stl")
    assert core.volume == pytest.approx(16 * 8 * 3 * 0.8 * 1.5 * 2.5, rel=0.01)
