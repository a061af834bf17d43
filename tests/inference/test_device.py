import pytest
import torch

from medseg.errors import UsageError
from medseg.inference import device


@pytest.fixture(params=[True, False], ids=["with a GPU", "without a GPU"])
def has_gpu(request, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param)
    return request.param


def test_auto_takes_a_gpu_if_there_is_one(has_gpu):
    assert device.choose("auto") == torch.device("cuda" if has_gpu else "cpu")


@pytest.mark.usefixtures("has_gpu")
def test_the_processor_can_always_be_chosen():
    assert device.choose("cpu") == torch.device("cpu")


def test_a_gpu_that_is_not_there_is_refused(has_gpu):
    if has_gpu:
        assert device.choose("cuda") == torch.device("cuda")
    else:
        with pytest.raises(UsageError, match=r"no GPU that torch can use\. Use --device cpu"):
            device.choose("cuda")
