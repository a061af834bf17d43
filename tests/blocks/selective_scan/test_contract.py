"""Which backend scans, and what is refused."""

import pytest
import torch

from medseg.blocks import selective_scan as package
from medseg.blocks.selective_scan import selective_scan


def test_backends_are_the_modules_of_the_folder():
    assert package.names() == ["cpu", "mamba_ssm", "reference", "triton"]
    assert sorted(package.PREFERENCE) == package.names()
    for name in package.names():
        assert isinstance(package.load(name), package.Backend)


def test_two_steps_by_hand():
    # Δ = 1, A = -log 2: the state halves. h = 3, then 1.5 + 5; y = C h + D u.
    one = torch.ones(1, 1, 2)
    u = torch.tensor([[[1.0, 5.0]]])
    B = torch.tensor([[[[3.0, 1.0]]]])
    C = torch.tensor([[[[1.0, 2.0]]]])
    A = torch.tensor([[0.5]]).log()
    y = selective_scan(u, one, A, B, C, torch.tensor([10.0]), delta_softplus=False)
    assert y.flatten().tolist() == pytest.approx([3 + 10, 2 * 6.5 + 50])


def test_double_precision_is_kept(make):
    y = make().change(torch.Tensor.double).scan("auto")
    assert y.dtype == torch.float64


def test_a_wrong_name_names_the_choices(make):
    with pytest.raises(ValueError, match=r"no 'cuda'.*'cpu', 'mamba_ssm', 'reference', 'triton'"):
        make().scan("cuda")


WRONG = {
    "u": (torch.ones(2, 17), "batch, channels, length"),
    "delta": (torch.ones(2, 6, 16), r"delta must be \(2, 6, 17\)"),
    "A": (-torch.ones(5, 16), "6 channels"),
    "B": (torch.ones(2, 4, 16, 17), "groups divide the 6 channels"),
    "C": (torch.ones(2, 1, 15, 17), r"C must be \(2, 1, 16, 17\)"),
    "D": (torch.ones(1), r"D must be \(6,\)"),
    "delta_bias": (torch.ones(6, 1), r"delta_bias must be \(6,\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_shape_that_does_not_fit_is_named(make, name):
    wrong, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        selective_scan(**{**make().named(), name: wrong})


def test_an_empty_sequence_is_refused(make):
    with pytest.raises(ValueError, match="none 0"):
        make(length=0).scan("auto")


def test_integers_are_refused(make):
    given = make().named()
    with pytest.raises(ValueError, match="floating-point"):
        selective_scan(**given | {"u": torch.ones(2, 6, 17, dtype=torch.int64)})


def test_tensors_on_two_devices_are_refused(make):
    given = make().named()
    with pytest.raises(ValueError, match="meta"):
        selective_scan(**given | {"A": given["A"].to("meta")})
