"""The picture of all cases."""

import nibabel  # noqa: F401 - pulls in what matplotlib needs, before warnings become errors
import numpy as np
from matplotlib import image as images

from medseg.survey import picture


def test_every_case_is_drawn_and_labels_are_outlined_in_their_colour(survey_of, tmp_path):
    survey = survey_of("brats_2021")
    picture.draw(survey, tmp_path / "a.png")
    drawn = images.imread(tmp_path / "a.png")[..., :3]
    assert drawn.shape[1] > 2.5 * drawn.shape[0]  # four in a row
    colour = survey.task.labels["oedema"].colour
    oedema = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    assert (np.abs(drawn - oedema).max(axis=-1) < 0.1).sum() > 100


def test_a_set_that_cannot_be_read_has_an_empty_picture(survey_of, tmp_path):
    def damage(root):
        for path in root.rglob("*_t1.nii.gz"):
            path.write_bytes(b"")

    picture.draw(survey_of("brats_2021", damage), tmp_path / "a.png")
    assert images.imread(tmp_path / "a.png").any()
