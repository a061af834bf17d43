"""The compiled scan beside a sequential one in float64: values, all gradients, all shapes."""

import errno
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from medseg.blocks.selective_scan.cpu import kernels


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("states", [1, 7, 16])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 333])
def test_values_and_gradients_are_those_of_the_definition(make, agrees, states, length):
    agrees("cpu", make(2, 40, length, states))


@settings(max_examples=15)
@drawn(
    batch=st.integers(1, 3),
    width=st.integers(1, 35),
    groups=st.integers(1, 3),
    states=st.integers(1, 17),
    length=st.integers(1, 140),
    optional=st.booleans(),
    softplus=st.booleans(),
)
def test_any_shape_is_scanned(
    make, positive, agrees, batch, width, groups, states, length, optional, softplus
):
    inputs = make(batch, width * groups, length, states, groups, optional=optional)
    if not softplus:
        inputs = positive(inputs)
    agrees("cpu", inputs, softplus=softplus)


@pytest.mark.parametrize("states", [1, 16])
def test_large_steps_stay_finite(make, agrees, states):
    agrees("cpu", make(1, 16, 200, states, step=30.0))


def test_steps_of_every_size_in_one_sequence(make, agrees):
    inputs = make(1, 16, 300)
    inputs.delta = torch.linspace(-30, 60, 300).expand(1, 16, 300) + inputs.delta
    agrees("cpu", inputs)


@pytest.mark.parametrize("states", [1, 16])
def test_a_whole_volume_is_scanned(make, agrees, states):
    agrees("cpu", make(1, 2, 32768, states))


def test_memory_need_not_be_contiguous(make, agrees):
    def spread(tensor):
        return torch.stack([tensor, torch.full_like(tensor, torch.nan)], -1)[..., 0]

    inputs = make(2, 20, 70).change(spread)
    assert not inputs.u.is_contiguous()
    agrees("cpu", inputs)


def test_the_gradient_of_y_need_not_be_contiguous(make):
    inputs = make(2, 20, 70)
    weights = torch.randn(70, 20, 2).permute(2, 1, 0)
    _, strided = inputs.scan_and_gradients("cpu", weights)
    _, dense = inputs.scan_and_gradients("cpu", weights.contiguous())
    assert all(torch.equal(strided[name], dense[name]) for name in dense)


def test_narrow_inputs_are_computed_in_single_precision(make):
    narrow = make(1, 20, 200).change(torch.Tensor.bfloat16)
    y, gradients = narrow.scan_and_gradients("cpu", torch.ones_like(narrow.u))
    wide = narrow.change(torch.Tensor.float)
    expected, expected_gradients = wide.scan_and_gradients("cpu", torch.ones_like(wide.u))
    assert torch.equal(y, expected.bfloat16())
    for name, gradient in gradients.items():
        assert torch.equal(gradient, expected_gradients[name].bfloat16())


def test_only_some_tensors_need_gradients(make):
    inputs = make(2, 20, 70)
    _, expected = inputs.scan_and_gradients("cpu", torch.ones_like(inputs.u))
    inputs.B.requires_grad_()
    inputs.scan("cpu").sum().backward()
    assert torch.equal(inputs.B.grad, expected["B"])


def test_gradients_are_the_same_in_every_run(make):
    inputs = make(2, 96, 700, groups=2)
    weights = torch.randn(inputs.u.shape)
    _, first = inputs.scan_and_gradients("cpu", weights)
    for _ in range(5):
        _, again = inputs.scan_and_gradients("cpu", weights)
        assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("threads", [1, 3, 5])
def test_any_number_of_threads_agrees(make, agrees, threads):
    torch.set_num_threads(threads)
    agrees("cpu", make(2, 70, 100, 5, groups=2))


def test_threads_of_python_scan_at_once(make):
    inputs = [make(1, 48, 400, seed=seed) for seed in range(6)]
    weights = torch.ones_like(inputs[0].u)
    expected = [i.scan_and_gradients("cpu", weights)[1]["B"] for i in inputs]
    torch.set_num_threads(2)
    found = [None] * 6

    def scan(place):
        for _ in range(5):
            _, gradients = inputs[place].scan_and_gradients("cpu", weights)
            found[place] = gradients["B"]

    threads = [threading.Thread(target=scan, args=(place,)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other)


def test_what_is_not_a_number_is_not_hidden(make):
    inputs = make(1, 16, 100)
    inputs.delta[0, 3, 50] = torch.nan
    y = inputs.scan("cpu")
    assert y[0, 3, 50:].isnan().all()
    assert y.isnan().sum() == 50


def test_double_precision_is_left_to_the_reference(make):
    with pytest.raises(ValueError, match="float64 was given; use backend='reference'"):
        make().change(torch.Tensor.double).scan("cpu")


def test_other_devices_are_refused(make):
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        pytest.raises(ValueError, match="runs on the processor"),
    ):
        make().change(lambda t: t.to("cuda")).scan("cpu")


@pytest.mark.slow
def test_numba_that_is_told_not_to_compile_is_an_obstacle(copy):
    with pytest.raises(AssertionError, match=r"NUMBA_DISABLE_JIT is set.*unset it"):
        probe(copy, NUMBA_DISABLE_JIT="1")


def test_without_numba_it_says_what_to_install(make, monkeypatch):
    error = "ModuleNotFoundError: No module named 'numba'"
    monkeypatch.setattr("medseg.blocks.selective_scan.cpu.import_error", lambda _: error)
    with pytest.raises(ValueError, match=r"No module named 'numba'.*pip install"):
        make().scan("cpu")
    assert torch.isfinite(make().scan("auto")).all()


class Scan(torch.nn.Module):
    """A scan among other operations."""

    def __init__(self, given):
        super().__init__()
        self.given = given

    def forward(self, u):
        tensors = {**self.given.named(), "u": 2 * u}
        return torch.relu(type(self.given)(**tensors).scan("auto"))


@pytest.mark.slow
def test_a_network_with_a_scan_is_exported(make):
    inputs = make(1, 20, 70)
    module = Scan(inputs)
    exported = torch.export.export(module, (inputs.u,), strict=False)
    assert "medseg.selective_scan" in exported.graph_module.code
    assert torch.equal(exported.module()(inputs.u), module(inputs.u))


class Frozen(torch.nn.Module):
    """A scan whose rate is a buffer, of a step that is given."""

    def __init__(self, given):
        super().__init__()
        self.given = given
        self.register_buffer("A", given.A.clone())

    def forward(self, delta):
        tensors = {**self.given.named(), "delta": delta, "A": self.A}
        return type(self.given)(**tensors).scan("cpu")


@pytest.mark.slow
def test_what_was_exported_without_gradients_has_the_right_ones(make):
    inputs = make(2, 20, 200)
    _, expected = inputs.scan_and_gradients("cpu", torch.ones_like(inputs.u))
    exported = torch.export.export(Frozen(inputs), (inputs.delta,), strict=False).module()
    exported.A.requires_grad_()
    delta = inputs.delta.clone().requires_grad_()
    exported(delta).sum().backward()
    assert torch.equal(delta.grad, expected["delta"])
    assert torch.equal(exported.A.grad, expected["A"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of what torch compares
def test_the_operator_keeps_the_rules_of_torch(make):
    given = make(2, 20, 70, 3).named()
    leaves = [tensor.detach().requires_grad_() for tensor in given.values()]
    torch.library.opcheck(torch.ops.medseg.selective_scan.default, (*leaves, True, True))


PROBE = """
import sys
import types
package = types.ModuleType("medseg.blocks.selective_scan.cpu")  # not its __init__: torch takes long
package.__path__ = [sys.argv[1]]
sys.modules[package.__name__] = package
import numpy as np
from medseg.blocks.selective_scan.cpu import kernels
rows = np.zeros((7, 64, 16), np.float32)
constants = np.zeros((2, 16), np.float32)
kernels.prepare(rows, constants, 1, True)
print(kernels.__file__)
print(kernels.prepare._cache.cache_path)
print(sum(kernels.prepare.stats.cache_hits.values()))
print(rows[kernels.STEP, 0, 0])
"""


@pytest.fixture
def copy(tmp_path):
    """A copy of the package, whose compiled code lies beside it."""
    folder = tmp_path / "medseg" / "blocks" / "selective_scan" / "cpu"
    folder.mkdir(parents=True)
    for above in folder.parents[:3]:
        (above / "__init__.py").touch()
    for module in ("kernels.py", "lanes.py"):
        (folder / module).write_text((Path(kernels.__file__).parent / module).read_text())
    return folder


def probe(copy, **variables):
    """Compute softplus(0) by the copy: return its cache's folder, its hits, and the result."""
    top = copy.parents[3]
    home = {"HOME": str(top), "XDG_CACHE_HOME": str(top / "cache"), "PYTHONPATH": str(top)}
    ours = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(copy)],
        env={**ours, **home, **variables},
        cwd=top,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    file, kept, hits, value = done.stdout.split()
    assert file == str(copy / "kernels.py")
    return Path(kept), int(hits), float(value)


@pytest.mark.slow
def test_a_change_of_either_file_reaches_what_was_compiled_before(copy):
    assert probe(copy)[1:] == (0, pytest.approx(math.log(2)))
    assert probe(copy)[1:] == (1, pytest.approx(math.log(2)))
    lanes = copy / "lanes.py"
    text = lanes.read_text()
    assert "    2.0,\n    0.66" in text  # the first coefficient of LOG1P
    lanes.write_text(text.replace("    2.0,\n    0.66", "    5.0,\n    0.66"))
    assert probe(copy)[1:] == (0, pytest.approx(math.log(2) + 1))  # by 3 s, and s is 1/3
    lanes.write_text(text)
    assert probe(copy)[2] == pytest.approx(math.log(2))


def test_another_version_of_the_compiler_is_told_apart(monkeypatch):
    before = kernels.fingerprint(b"one", b"two")
    assert before == kernels.fingerprint(b"one", b"two")
    assert before != kernels.fingerprint(b"one", b"too")
    monkeypatch.setattr(kernels.llvmlite, "__version__", "0.0.1")
    assert before != kernels.fingerprint(b"one", b"two")


def test_code_that_cannot_be_kept_is_compiled_all_the_same(monkeypatch):
    def refuse(_function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(kernels, "Kept", refuse)
    assert kernels.compiled(lambda x: x + 1)(1) == 2


def test_a_disk_that_fills_up_is_no_obstacle(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    function = kernels.compiled(lambda x: x + 2)
    monkeypatch.setattr(function._cache._cache_file, "load", lambda _: None)
    monkeypatch.setattr(function._cache._cache_file, "save", refuse)
    assert function(1) == 3


@pytest.mark.slow
def test_a_package_that_cannot_be_written_to_keeps_compiled_code_elsewhere(copy):
    (copy / "__pycache__").write_text("")  # a file: not even root can write into it
    kept, _, _ = probe(copy)
    assert kept.is_relative_to(copy.parents[3])
    assert not kept.is_relative_to(copy)
    assert list(kept.glob("*.nbc"))
