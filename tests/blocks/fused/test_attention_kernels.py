"""Parts of the compiled attention, on numbers done by hand."""

import numpy as np
import pytest

from medseg.blocks.fused import attention_kernels as kernels


def test_keys_are_laid_out_feature_by_feature():
    rows = np.arange(3 * 16, dtype=np.float32)
    columns = np.zeros(16 * 32, np.float32)
    kernels.transpose(columns, rows, 3, 16, 32)
    assert columns.reshape(16, 32)[5, :4].tolist() == [5.0, 21.0, 37.0, 0.0]


def test_weights_are_powers_of_two_beside_their_sum():
    logits = np.full(2 * 32, -1e30, np.float32)
    logits[32:35] = 100.0, 101.0, 98.0
    sums = np.zeros(2, np.float32)
    kernels.soften(logits, sums, 1, 32, 32)
    assert logits[32:35] == pytest.approx([0.5, 1.0, 0.125])
    assert logits[35:] == pytest.approx(0.0, abs=1e-30)
    assert sums.tolist() == [0.0, pytest.approx(1 / 1.625)]
