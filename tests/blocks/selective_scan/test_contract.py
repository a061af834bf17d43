"""Which backend scans, and what is refused."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

from medseg.blocks import selective_scan as package
from medseg.blocks.selective_scan import selective_scan


def test_backends_are_the_modules_of_the_folder():
    assert package.names() == ["cpu", "mamba_ssm", "reference", "triton"]
    assert sorted(set().union(*package.PREFERENCE.values())) == package.names()
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


@pytest.mark.parametrize("name", ["delta", "A", "D"])
def test_double_precision_anywhere_is_left_to_the_reference(make, name):
    inputs = make()
    setattr(inputs, name, getattr(inputs, name).double())
    assert torch.equal(inputs.scan("auto"), inputs.scan("reference"))
    with pytest.raises(ValueError, match=r"'cpu' cannot be used.*float64 was given"):
        inputs.scan("cpu")


def along(inputs, direction, backend):
    """Return the derivative of a scan in a direction of u."""
    with forward_ad.dual_level():
        given = {**inputs.named(), "u": forward_ad.make_dual(inputs.u, direction)}
        return forward_ad.unpack_dual(type(inputs)(**given).scan(backend)).tangent


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # torch's own formulas
def test_derivatives_in_forward_mode_are_left_to_the_reference(make):
    inputs = make().change(torch.Tensor.double)
    direction = torch.randn_like(inputs.u)
    expected = replace(inputs, u=direction).scan("reference")  # a scan is linear in u
    torch.testing.assert_close(along(inputs, direction, "auto"), expected)
    single = inputs.change(torch.Tensor.float)
    found = along(single, direction.float(), "auto")
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="no derivatives in forward mode; use backend='reference'"):
        along(single, direction.float(), "cpu")


def test_second_derivatives_are_refused_with_words(make):
    inputs = make()
    u = inputs.u.clone().requires_grad_()
    y = replace(inputs, u=u, delta=u).scan("cpu")
    (gradient,) = torch.autograd.grad(y.sum(), u, create_graph=True)
    with pytest.raises(NotImplementedError, match="use backend='reference'"):
        gradient.sum().backward()


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A package that is there and cannot be imported."""
    (tmp_path / "broken_by_design.py").write_text("raise OSError('undefined symbol: _ZN3c10')")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "broken_by_design"


def test_what_cannot_be_imported_is_an_obstacle_with_its_reason(broken):
    assert package.import_error(broken) == "OSError: undefined symbol: _ZN3c10"
    assert package.import_error("math") is None
    assert "No module named 'not_there'" in package.import_error("not_there")


def obstacles(given, device):
    """Ask which backend is chosen for tensors that are on a device in name alone."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        there = [torch.empty(t.shape, dtype=t.dtype, device=device) for t in given.named().values()]
        return package._first(package.Given(*there)).__name__.rpartition(".")[2]


def test_a_broken_package_is_passed_over(make, monkeypatch):
    for name in ("mamba_ssm", "triton", "cpu"):
        monkeypatch.setattr(package.load(name), "import_error", lambda _: None)
    assert obstacles(make(), "cuda") == "mamba_ssm"
    assert obstacles(make(states=257), "cuda") == "triton"
    monkeypatch.setattr(package.load("mamba_ssm"), "import_error", lambda _: "OSError: broken")
    assert obstacles(make(), "cuda") == "triton"
    monkeypatch.setattr(package.load("triton"), "import_error", lambda _: "OSError: broken")
    assert obstacles(make(), "cuda") == "reference"
    assert obstacles(make(), "cpu") == "cpu"
    monkeypatch.setattr(package.load("cpu"), "import_error", lambda _: "OSError: broken")
    assert obstacles(make(), "cpu") == "reference"
    with pytest.raises(ValueError, match=r"'cpu' cannot be used.*OSError: broken"):
        make().scan("cpu")


def test_on_the_processor_triton_is_never_asked(make, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    asked = []
    for name in ("mamba_ssm", "triton"):
        monkeypatch.setattr(package.load(name), "obstacle", asked.append)
    make().scan("auto")
    assert not asked


def test_a_device_without_a_backend_has_the_reference(make):
    assert obstacles(make(), "xpu") == "reference"


COMPILED = """
import torch
from medseg.blocks.selective_scan import selective_scan

def scan(u, A, B):
    return torch.relu(selective_scan(u, u, A, B, B))

u, A, B = torch.randn(1, 6, 70), -torch.rand(6, 3), torch.randn(1, 1, 3, 70)
compiled = torch.compile(scan, fullgraph=True, backend="aot_eager")
for leaf in (u, u.clone().requires_grad_()):
    y, expected = compiled(leaf, A, B), scan(leaf, A, B)
    assert torch.equal(y, expected)
gradients = [torch.autograd.grad(t.sum(), leaf)[0] for t in (y, expected)]
assert torch.equal(*gradients)
"""


@pytest.mark.slow
def test_torch_compiles_a_scan_in_one_graph():
    # In a process of its own: here every function is checked by what torch cannot follow.
    root = Path(package.__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", COMPILED],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


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
