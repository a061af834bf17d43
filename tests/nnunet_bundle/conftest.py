import pytest

from tests import nnunet_results as results


@pytest.fixture(scope="session")
def results_folder(tmp_path_factory):
    """A results folder with two folds, whose networks were not trained."""
    root = tmp_path_factory.mktemp("nnUNet_results")
    return results.write(root, results.plans(), results.description(), folds=(0, 1), steps=1)
