"""What is handed to the authors' package; a stand-in records it, for it needs a GPU."""

import importlib.machinery
import sys
from types import ModuleType

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from medseg.blocks.selective_scan import Given, load


class Recorder(ModuleType):
    """A package that keeps what it is called with."""

    def __init__(self, name):
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        self.__path__ = []
        self.calls = []

    def selective_scan_fn(self, *tensors, **options):
        self.calls.append((tensors, options))
        return tensors[0] + 1


@pytest.fixture
def package(monkeypatch):
    """`mamba_ssm` with its kernel."""
    names = ["mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.selective_scan_interface"]
    for name in [*names, "selective_scan_cuda"]:
        monkeypatch.setitem(sys.modules, name, Recorder(name))
    monkeypatch.setattr(load("mamba_ssm"), "import_error", lambda _: None)
    return sys.modules[names[-1]]


def obstacle(dtype=torch.float32, states=1):
    """Ask with tensors that have a device but no memory."""
    with FakeTensorMode():
        sequence = torch.empty(1, 1, 1, device="cuda", dtype=dtype)
        shared = sequence.new_empty(1, 1, states, 1)
        rates = sequence.new_empty(1, states)
        return load("mamba_ssm").obstacle(Given(sequence, sequence, rates, shared, shared))


@pytest.mark.usefixtures("package")
def test_tensors_off_cuda_are_refused(make):
    with pytest.raises(ValueError, match="'mamba_ssm' cannot be used: it runs on CUDA"):
        make().scan("mamba_ssm")


@pytest.mark.usefixtures("package")
def test_tensors_on_cuda_are_taken():
    assert obstacle() is None


@pytest.mark.usefixtures("package")
def test_double_precision_is_left_to_the_reference():
    assert "reference" in obstacle(torch.float64)


@pytest.mark.parametrize("missing", ["mamba_ssm", "selective_scan_cuda"])
@pytest.mark.usefixtures("package")
def test_what_is_missing_or_broken_is_said_with_its_remedy(monkeypatch, missing):
    def import_error(name):
        return "ImportError: undefined symbol" if name.startswith(missing) else None

    monkeypatch.setattr(load("mamba_ssm"), "import_error", import_error)
    said = obstacle()
    assert "undefined symbol" in said
    assert "MAMBA_KEEP_CUDA_BUILD=TRUE pip install" in said


def handed(package, inputs, *, softplus=True):
    """Return the result, and what the package was called with."""
    y = load("mamba_ssm").scan(Given(**inputs.named()), delta_softplus=softplus)
    ((tensors, given),) = package.calls
    return y, tensors, given


def test_the_arguments_are_those_of_the_package(package, make):
    inputs = make(groups=2)
    y, tensors, given = handed(package, inputs, softplus=False)
    for found, wanted in zip(tensors, list(inputs.named().values())[:5], strict=True):
        assert torch.equal(found, wanted)
    assert torch.equal(given.pop("D"), inputs.D)
    assert torch.equal(given.pop("delta_bias"), inputs.delta_bias)
    assert given == {"z": None, "delta_softplus": False, "return_last_state": False}
    assert torch.equal(y, inputs.u + 1)


def test_sequences_share_the_widest_type_and_the_rest_is_single_precision(package, make):
    inputs = make().change(torch.Tensor.bfloat16)
    inputs.delta = inputs.delta.float()
    y, tensors, given = handed(package, inputs)
    assert {t.dtype for t in (*tensors, given["D"], given["delta_bias"])} == {torch.float32}
    assert y.dtype == torch.bfloat16


def test_narrow_sequences_stay_narrow(package, make):
    _, (u, delta, A, B, C), _ = handed(package, make().change(torch.Tensor.bfloat16))
    assert {t.dtype for t in (u, delta, B, C)} == {torch.bfloat16}
    assert A.dtype == torch.float32


def test_memory_is_contiguous(package, make):
    inputs = make().change(lambda t: torch.stack([t, t], -1)[..., 0])
    _, tensors, _ = handed(package, inputs)
    assert all(t.is_contiguous() for t in tensors)


def test_what_is_not_given_is_not_handed_over(package, make):
    _, _, given = handed(package, make(optional=False))
    assert given["D"] is None
    assert given["delta_bias"] is None


@pytest.mark.usefixtures("package")
def test_more_states_than_the_kernel_takes_are_refused():
    assert obstacle(states=256) is None
    assert "256 states, not 257; use backend='triton'" in obstacle(states=257)
