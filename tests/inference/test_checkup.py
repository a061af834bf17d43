import types

import psutil
import torch

from medseg import networks
from medseg.__main__ import run
from medseg.inference import checkup

CPU = torch.device("cpu")


def test_a_sound_machine_predicts(tmp_path):
    findings = {finding.what: finding for finding in checkup.examine(tmp_path)}
    assert "works: 20x18x16 voxels" in findings["prediction (cpu)"].found
    assert torch.__version__ in findings["torch"].found
    assert findings["disk"].found.endswith(f"GB free in {tmp_path}")
    assert {"CUDA", "memory", "SimpleITK", "itk"} <= findings.keys()
    assert not any(finding.broken for finding in findings.values())


def test_what_is_scarce_or_missing_has_a_remedy(monkeypatch, tmp_path):
    little = types.SimpleNamespace(available=1e9, total=2e9, free=1e9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda _: little)
    monkeypatch.setitem(checkup.OPTIONAL, "no_such_package", "does nothing")
    findings = {finding.what: finding for finding in checkup.examine(tmp_path)}
    assert findings["memory"].remedy == "Close other programs"
    assert findings["disk"].remedy == "Free some space"
    assert findings["no_such_package"].remedy == "pip install no_such_package"


def test_a_prediction_that_fails_is_an_error_with_a_remedy(monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("no kernel\nimage")

    monkeypatch.setattr(networks, "build", fail)
    assert checkup.tiny_prediction(CPU).broken
    assert run(["doctor"]) == 1
    shown = capsys.readouterr()
    assert "ERROR prediction (cpu): failed with RuntimeError: no kernel image" in shown.out
    assert "Install medseg anew" in shown.err


def test_the_command_prints_a_line_per_finding(capsys):
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("ok ", "look ")) for line in lines)
    assert any("torch: " in line for line in lines)
