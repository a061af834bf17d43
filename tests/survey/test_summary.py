"""A survey in a few lines."""

from medseg.survey import summary


def test_shapes_spacings_labels_and_intensities_are_told(survey_of):
    shown = "\n".join(summary.lines(survey_of("acdc")))
    assert "Shapes (RAS): 30x32x8 to 30x32x8 voxels" in shown
    assert "Spacings (RAS): 4x4x10 to 4x4x10 mm" in shown
    assert "Orientations: RAS (10)" in shown
    assert "Label left_ventricle: in 10 of 10 cases" in shown
    assert "Channel cine: values" in shown


def test_nothing_is_told_of_data_that_cannot_be_read(survey_of):
    def damage(root):
        for path in root.rglob("*_frame??.nii.gz"):
            path.write_bytes(b"")

    assert list(summary.lines(survey_of("acdc", damage))) == []
