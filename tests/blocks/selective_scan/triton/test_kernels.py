"""The kernels in Triton's interpreter, and as they are on a GPU where there is one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medseg.blocks.selective_scan import load
from medseg.blocks.selective_scan import triton as backend

INTERPRETED = Path(__file__).with_name("interpreted.py")

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is for Linux alone"
)


@pytest.mark.slow
@needs_triton
def test_interpreted_kernels_compute_what_is_defined():
    # Triton decides how to run its own functions when it is imported, so that is done anew.
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            str(INTERPRETED),
            "-p",
            "no:cacheprovider",
            "-p",
            "no:cov",
        ],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "28 passed" in done.stdout, done.stdout


@needs_triton
def test_tensors_on_the_processor_are_refused(make):
    with pytest.raises(ValueError, match="'triton' cannot be used: it runs on CUDA"):
        make().scan("triton")


def test_without_triton_it_says_what_to_install(make, monkeypatch):
    monkeypatch.setattr(load("triton"), "import_error", lambda _: "No module named 'triton'")
    with pytest.raises(ValueError, match="pip install triton"):
        make().scan("triton")


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_compile_for_a_gpu_that_is_not_there(dtype):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler import compile as compile_for

    from medseg.blocks.selective_scan.triton import kernels

    narrow = {"y", "u", "delta", "first", "shared", "B", "C", "of_y", "of_u", "of_delta"}
    sizes = {"channels", "states", "length", "groups", "splits", "chunks", "size"}
    constants = {"CURVED": True, "REVERSE": True, "BLOCK": 8, "STEPS": 256, "MANY": 128}
    letters = {torch.float32: "*fp32", torch.bfloat16: "*bf16"}
    for kernel in (kernels.summarise, kernels.carry, kernels.scan_chunk, kernels.scan_chunk_back):
        kinds = {name: letters[dtype] if name in narrow else "*fp32" for name in kernel.arg_names}
        kinds |= {name: "i32" for name in kinds if name in sizes}
        kinds |= {name: "constexpr" for name in kinds if name in constants}
        given = {
            (place,): constants[name]
            for place, name in enumerate(kernel.arg_names)
            if name in constants
        }
        source = ASTSource(kernel, kinds, given)
        assert compile_for(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]


def close(found, expected, tolerance):
    far = (found.cpu().double() - expected).abs().max()
    assert far <= tolerance * expected.abs().max()


def compare(inputs, *, softplus):
    """Demand that the compiled kernels compute what the reference does in float64, twice alike."""
    weights = torch.randn(inputs.u.shape).to(inputs.u.dtype)
    expected, expected_gradients = inputs.change(torch.Tensor.double).scan_and_gradients(
        "reference", weights.double(), softplus=softplus
    )
    there = inputs.change(lambda t: torch.stack([t, t], -1).cuda()[..., 0])  # not contiguous
    tolerance = 1e-4 if inputs.u.dtype == torch.float32 else 2**-6
    y, gradients = there.scan_and_gradients("triton", weights.cuda(), softplus=softplus)
    close(y, expected, tolerance)
    for name, gradient in gradients.items():
        close(gradient, expected_gradients[name], tolerance)
    _, again = there.scan_and_gradients("triton", weights.cuda(), softplus=softplus)
    assert all(torch.equal(again[name], gradients[name]) for name in gradients)


@pytest.mark.gpu
def test_states_are_carried_past_the_chunks_that_are_carried_at_once(make):
    at_once = backend.STEPS * backend.CHUNKS_AT_ONCE
    inputs = make(1, 3, at_once + 1000, 2, step=-5.0)  # small steps: states last
    compare(inputs, softplus=True)


@pytest.mark.gpu
@pytest.mark.parametrize("softplus", [True, False])
@pytest.mark.parametrize("step", [0.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 24, 1000, 16, 1), (2, 30, 5000, 1, 3), (1, 5, 9000, 5, 1)])
def test_compiled_kernels_compute_what_the_reference_does(
    make, positive, shape, dtype, step, softplus
):
    inputs = make(*shape, step=step if softplus else 0.0)
    inputs = (inputs if softplus else positive(inputs)).change(lambda t: t.to(dtype))
    compare(inputs, softplus=softplus)
