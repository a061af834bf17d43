"""Synapse: the archive, its subset, its copies, and which numbering they have."""

import pytest

from medseg.data import layouts
from medseg.data.layouts import synapse
from medseg.errors import DataError
from tests.fake_data import FORMS

# A person's organs in millilitres, by the archive's values.
USUAL_ML = {1: 200, 2: 150, 3: 155, 4: 25, 6: 1600, 7: 350, 8: 100, 11: 75}
# As the publications print them: the value of the archive for each new value.
PUBLISHED = {
    "transunet": {1: 8, 2: 4, 3: 3, 4: 2, 5: 6, 6: 11, 7: 1, 8: 7},
    "cascade": {1: 1, 2: 2, 3: 3, 4: 4, 5: 11, 6: 6, 7: 7, 8: 8},
    "compacted": {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 7, 7: 8, 8: 11},
}


@pytest.fixture
def recognised(tmp_path):
    def done(form):
        FORMS[form](tmp_path)
        return synapse.recognise(tmp_path)

    return done


@pytest.mark.parametrize("numbering", PUBLISHED)
def test_the_numberings_are_the_published_ones(numbering):
    original = synapse._NUMBERINGS["original"]
    organs = synapse._NUMBERINGS[numbering]
    expected = [original[PUBLISHED[numbering][value] - 1] for value in range(1, 9)]
    assert list(organs) == expected


@pytest.mark.parametrize("numbering", PUBLISHED)
def test_a_numbering_is_told_by_the_sizes_of_the_organs(numbering):
    voxels = {new: 1000 * USUAL_ML[old] for new, old in PUBLISHED[numbering].items()}
    misfits = synapse._misfits({0: 10**9, **voxels})
    best, next_best = sorted(misfits, key=misfits.get)[:2]
    assert best == numbering
    assert misfits[next_best] - misfits[best] > synapse._CLEARLY


@pytest.mark.parametrize(
    ("form", "numbering"),
    [
        ("synapse", "original"),
        ("synapse_subset", "original"),
        ("synapse_subset_cascade", "cascade"),
        ("synapse_subset_compacted", "compacted"),
        ("synapse_copies", "transunet"),
        ("synapse_copies_cascade", "cascade"),
    ],
)
def test_the_numbering_of_a_copy_is_told(recognised, form, numbering):
    found = recognised(form)
    assert found.numbering == numbering
    assert len(found.labels) == (13 if numbering == "original" else 8)


def test_a_numbering_that_the_whole_set_refutes_stops_with_the_one_that_fits(recognised):
    found = recognised("synapse_copies")
    voxels = {new: USUAL_ML[old] for new, old in PUBLISHED["cascade"].items()}
    with pytest.raises(DataError, match=r"as transunet, but .* are those of cascade.* --numbering"):
        layouts.confirm(found, voxels)
    fitting = {new: USUAL_ML[old] for new, old in PUBLISHED["transunet"].items()}
    assert "transunet: the sizes of the organs agree" in layouts.confirm(found, fitting)
    assert layouts.confirm(found, {0: 5}) is None


def test_the_split_is_transunet_s_and_the_other_is_on_offer(recognised):
    found = recognised("synapse")
    (usual,), (other,) = found.splits.values()
    assert list(found.splits) == ["18-12", "24-6"]
    assert [len(usual.training), len(usual.held_out)] == [18, 12]
    assert usual.training == (
        "0005",
        "0006",
        "0007",
        "0009",
        "0010",
        "0021",
        "0023",
        "0024",
        "0026",
        "0027",
        "0028",
        "0030",
        "0031",
        "0033",
        "0034",
        "0037",
        "0039",
        "0040",
    )
    assert [len(other.training), len(other.held_out)] == [24, 6]
    assert any("Papers choose their model on the 12 test cases" in note for note in found.notes)


def test_unlabelled_cases_of_the_archive_are_listed_too(recognised):
    found = recognised("synapse")
    unlabelled = [case.name for case in found.cases if case.label is None]
    assert unlabelled == ["img0061"]


def test_copies_have_slices_and_volumes_and_say_that_they_have_no_geometry(recognised):
    found = recognised("synapse_copies")
    assert [case.name for case in found.cases] == [
        "case0001",
        "case0002",
        "case0005",
        "case0006",
        "case0007",
    ]
    assert not found.has_geometry
    assert any("distances are in voxels" in note for note in found.notes)


def test_the_archive_beside_a_copy_of_it_is_refused(recognised):
    recognised("synapse")
    with pytest.raises(DataError, match="the same patients twice"):
        recognised("synapse_copies")


def test_a_scan_that_is_there_twice_is_refused_and_not_chosen_from(recognised, tmp_path):
    recognised("synapse")
    (tmp_path / "RawData").rename(tmp_path / "an archive")
    with pytest.raises(DataError, match=r"one scan twice, as RawData.* and as an archive"):
        recognised("synapse")


def test_predictions_beside_the_archive_are_not_taken_for_scans(recognised, tmp_path):
    before = recognised("synapse").cases
    path = tmp_path / "RawData" / "Predicted" / "img0001.nii.gz"
    path.parent.mkdir()
    path.touch()
    assert synapse.recognise(tmp_path).cases == before
