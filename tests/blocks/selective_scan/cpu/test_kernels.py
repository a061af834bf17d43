"""The compiled scan beside a sequential one in float64: values, all gradients, all shapes."""

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

import medseg
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


def test_a_whole_volume_is_scanned(make, agrees):
    agrees("cpu", make(1, 2, 32768, 16))


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
    with pytest.raises(ValueError, match="runs on the processor"):
        make().change(lambda t: t.to("meta")).scan("cpu")


def test_without_numba_it_says_what_to_install(make, monkeypatch):
    monkeypatch.setattr("medseg.blocks.selective_scan.cpu.find_spec", lambda _: None)
    with pytest.raises(ValueError, match="pip install numba"):
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of what torch compares
def test_the_operator_keeps_the_rules_of_torch(make):
    given = make(2, 20, 70, 3).named()
    given |= {name: given[name].mT.contiguous() for name in ("B", "C")}
    leaves = [tensor.detach().requires_grad_() for tensor in given.values()]
    torch.library.opcheck(torch.ops.medseg.selective_scan.default, (*leaves, True, True))


def test_code_that_cannot_be_kept_is_compiled_all_the_same(monkeypatch):
    def refuse(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(kernels.numba, "njit", refuse)
    assert kernels.compiled(len) is len


@pytest.mark.slow
def test_a_package_that_cannot_be_written_to_keeps_compiled_code_elsewhere(tmp_path):
    package = tmp_path / "medseg" / "blocks" / "selective_scan" / "cpu"
    package.mkdir(parents=True)
    source = Path(medseg.__file__).parent / "blocks" / "selective_scan" / "cpu"
    for module in ("kernels.py", "lanes.py"):
        (package / module).write_text((source / module).read_text())
    (package / "__pycache__").write_text("")  # a file: not even root can write into it
    command = (
        "import numpy as np; from medseg.blocks.selective_scan.cpu import kernels;"
        "rows = np.zeros((7, 64, 16), np.float32);"
        "kernels.conclude(rows, rows[0, :2], rows[1, :2], 64);"
        "print(kernels.conclude._cache.cache_path)"
    )
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, **home, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    kept = Path(done.stdout.strip())
    assert kept.is_relative_to(tmp_path)
    assert list(kept.glob("*.nbc"))
