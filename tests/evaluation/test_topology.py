import numpy as np

from medseg.evaluation import topology


def test_voxels_that_share_a_corner_are_one_part_and_those_apart_are_two():
    mask = np.zeros((6, 6, 6), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert topology.components(mask) == 1
    mask[4, 4, 4] = True
    assert topology.components(mask) == 2


def test_nothing_has_no_parts_and_no_holes():
    nothing = np.zeros((3, 3, 3), dtype=bool)
    assert topology.components(nothing) == topology.holes(nothing) == 0


def test_a_cavity_is_a_hole_and_a_tunnel_is_none():
    mask = np.ones((5, 5, 5), dtype=bool)
    mask[2, 2, 2] = False
    assert topology.holes(mask) == 1
    mask[2, 2, :] = False
    assert topology.holes(mask) == 0


def test_two_cavities_that_share_an_edge_are_two_holes():
    mask = np.ones((6, 6, 5), dtype=bool)
    mask[2, 2, 2] = mask[3, 3, 2] = False
    assert topology.holes(mask) == 2


def test_a_cavity_at_the_border_of_the_image_is_open():
    mask = np.ones((5, 5, 5), dtype=bool)
    mask[0, 2, 2] = False
    assert topology.holes(mask) == 0


def test_nothing_has_neither_parts_nor_holes():
    for shape in ((3, 3, 3), (0, 0, 0)):
        nothing = np.zeros(shape, dtype=bool)
        assert (topology.components(nothing), topology.holes(nothing)) == (0, 0)
