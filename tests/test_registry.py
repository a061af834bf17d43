import pytest

from medseg import formats, registry


def test_the_modules_of_a_package_are_its_names():
    assert registry.names(formats) == ["dicom", "hdf5", "nifti", "npz", "simpleitk"]


def test_a_module_is_loaded_by_its_name():
    assert registry.load(formats, "nifti").__name__ == "medseg.formats.nifti"


@pytest.mark.parametrize("name", ["nifty", "os", "../files", ""])
def test_an_unknown_name_is_refused_with_those_there_are(name):
    with pytest.raises(ValueError, match=r"formats has no .* choose from \['dicom', 'hdf5'"):
        registry.load(formats, name)
