"""Attention beside softmax(q k + bias) v, written out."""

import pytest
import torch

from medseg.blocks import attention
from medseg.blocks.attention import attend
from medseg.blocks.windows import cut


@pytest.mark.parametrize("chunk", [1, 1 << 22])
def test_attention_and_its_gradients_are_those_of_the_formula(chunk, monkeypatch):
    monkeypatch.setattr(attention, "CHUNK", chunk)
    torch.manual_seed(0)
    windows = cut(2, (5, 4, 3), (2, 2, 2), (1, 1, 1), torch.device("cpu"))
    count = len(windows.source) // 8
    qkv = torch.randn(count, 8, 3, 2, 5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, 8, 8, dtype=torch.float64, requires_grad=True)
    mask = torch.zeros(count, 1, 8, 8, dtype=torch.float64)
    for group in windows.groups:
        if group.separate is not None:
            mask[group.start : group.stop, 0][:, group.separate] = -100
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    weights = torch.softmax(q @ k.mT / 5**0.5 + bias + mask, dim=-1)
    expected = (weights @ v).transpose(1, 2)
    result = attend(qkv, bias, windows)
    torch.testing.assert_close(result, expected)
    with torch.no_grad():
        torch.testing.assert_close(attend(qkv, bias, windows), expected)
    towards = torch.randn_like(expected)
    gradients = torch.autograd.grad(result, (qkv, bias), towards)
    for ours, theirs in zip(
        gradients, torch.autograd.grad(expected, (qkv, bias), towards), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
