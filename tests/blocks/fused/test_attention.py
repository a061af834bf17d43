"""Compiled attention beside its definition, in double precision."""

import pytest
import torch

from medseg.blocks.fused import attention


def by_definition(qkv, bias, allowed):
    q, k, v = qkv.double().permute(2, 0, 3, 1, 4).unbind()
    logits = q @ k.mT * qkv.shape[-1] ** -0.5
    if bias is not None:
        logits = logits + bias.double()
    logits = logits.masked_fill(~allowed, -torch.inf)
    return (logits.softmax(-1) @ v).transpose(1, 2)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 3e-6), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("features", [4, 16, 20])
@pytest.mark.parametrize(("tokens", "biased"), [(27, True), (33, False), (1, True), (8, False)])
def test_tokens_attend_by_definition(dtype, error, features, tokens, biased):
    generator = torch.Generator().manual_seed(tokens)
    qkv = torch.randn(5, tokens, 3, 2, features, generator=generator).to(dtype)
    bias = torch.randn(2, tokens, tokens, generator=generator).to(dtype) if biased else None
    separate = torch.rand(tokens, tokens, generator=generator) < 0.3
    separate.fill_diagonal_(False)
    out = torch.empty(5, tokens, 2, features, dtype=dtype)
    attention.attend(out, qkv, bias, separate, penalty=-1e30)
    expected = by_definition(qkv, bias, ~separate)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=error * 3)
    attention.attend(out, qkv, bias, None, penalty=-1e30)
    everything = torch.ones_like(separate)
    expected = by_definition(qkv, bias, everything)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=error * 3)


def test_large_logits_do_no_harm():
    qkv = torch.zeros(1, 9, 3, 1, 16)
    qkv[0, :, 0] = 100.0
    qkv[0, 4, 1] = 100.0  # this key outdoes all others, by 160,000 / 4
    qkv[0, :, 2, 0, 0] = torch.arange(9.0)
    out = torch.empty(1, 9, 1, 16)
    attention.attend(out, qkv, None, None, penalty=-1.0)
    assert (out[..., 0] == 4.0).all()


def test_what_is_recorded_for_gradients_is_left_to_torch():
    qkv = torch.zeros(1, 2, 3, 1, 4, requires_grad=True)
    assert not attention.usable(qkv)
    assert attention.usable(qkv.detach())
    with torch.no_grad():
        assert attention.usable(qkv)
