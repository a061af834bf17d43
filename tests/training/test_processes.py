"""Several processes train as one would."""

import csv
import json
import os
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from medseg.errors import UsageError
from medseg.training import processes

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


def test_a_process_that_is_alone_gets_what_it_gave():
    processes.join(1, CPU)
    processes.wait()
    assert (processes.rank(), processes.count()) == (0, 1)
    assert processes.agreed(0.25, CPU) == 0.25
    assert processes.mean(0.25, CPU) == 0.25
    values = torch.ones(2)
    assert processes.total(values) is values
    assert not processes.is_follower()


@pytest.mark.parametrize(
    ("told", "count", "follows"),
    [
        ({"WORLD_SIZE": "4", "RANK": "0"}, 4, False),
        ({"WORLD_SIZE": "4", "RANK": "3"}, 4, True),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "1"}, 2, True),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, 1, False),
    ],
)
def test_what_started_them_is_read(monkeypatch, told, count, follows):
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert processes.started_together() == count
    assert processes.is_follower() == follows


def test_processes_that_were_asked_for_and_not_started_are_missed():
    with pytest.raises(UsageError, match="2 processes were asked for and 1 were started") as told:
        processes.join(2, CPU)
    assert "torchrun --standalone --nproc-per-node 2" in str(told.value)


PLAIN = "from medseg.__main__ import main; main()"


def _command(data, out, settings, *more, program=PLAIN):
    changes = [part for setting in settings for part in ("--set", setting)]
    return [
        *(sys.executable, "-c", program, "train", "--task", "phantom", "--data", str(data)),
        *("--out", str(out), "--epochs", "2", "--device", "cpu", *changes, *more),
    ]


def _two(command, environment):
    """Start a command as torchrun starts two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    told |= {"MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0"}
    return [
        subprocess.Popen(
            command,
            env=environment | told | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def _losses(out):
    with (out / "metrics.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_give_the_losses_and_weights_of_one(phantom_folder, small_settings, tmp_path):
    # Overlapping regions, so that the Dice sums of both processes count in each gradient.
    settings = (*small_settings, "training.batch=2", "training.average=0")
    alone, together = tmp_path / "alone", tmp_path / "together"
    environment = os.environ | {"MEDSEG_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    one = subprocess.Popen(_command(phantom_folder, alone, settings), env=environment)
    two = _two(_command(phantom_folder, together, settings, "--devices", "2"), environment)
    assert one.wait() == 0
    said = [process.communicate()[0] for process in two]
    assert [process.returncode for process in two] == [0, 0]
    assert "Trained" in said[0]
    assert said[1] == ""
    assert _losses(together) == pytest.approx(_losses(alone), rel=1e-4)
    ours, theirs = (load_file(run / "bundle" / "weights.safetensors") for run in (together, alone))
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=2e-3, atol=2e-4)
    assert json.loads((together / "run.json").read_text())["devices"] == 2


ONE_HAS_LITTLE = """
import os
import torch
from medseg.networks.swin_unetr import SwinUNETR
forward = SwinUNETR.forward
def limited(self, image):
    trains = torch.is_grad_enabled() and image.device.type != "meta"
    if trains and os.environ["RANK"] == "1" and len(image) > 1:
        raise torch.OutOfMemoryError("there is no more")
    return forward(self, image)
SwinUNETR.forward = limited
from medseg import files
def refused(path, text):
    raise AssertionError(f"the second process writes {path}")
if os.environ["RANK"] == "1":
    files.write_text = refused
from medseg.__main__ import main
main()
"""


@pytest.mark.slow
def test_when_one_of_two_has_too_little_memory_both_go_on_with_less(
    phantom_folder, small_settings, tmp_path
):
    out = tmp_path / "run"
    settings = (*small_settings, "training.batch=4")
    more = ("--devices", "2", "--epochs", "1")
    command = _command(phantom_folder, out, settings, *more, program=ONE_HAS_LITTLE)
    environment = os.environ | {"MEDSEG_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    two = _two(command, environment)
    said = [process.communicate() for process in two]
    assert [process.returncode for process in two] == [0, 0], said
    assert "goes on with a batch of 2" in " ".join(said[0][1].split())
    plan = (out / "plan.yaml").read_text()
    assert "\nbatch: 2\n" in plan
    assert "# The memory did not suffice" in plan
    assert len(_losses(out)) == 1
