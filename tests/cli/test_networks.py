"""`medseg networks`."""

import pytest

from medseg import costs
from medseg.__main__ import run
from medseg.costs import Counted, Measured


def test_networks_are_listed_with_parameters_and_sources(capsys):
    assert run(["networks", "swin_unetr", "res_enc_unet", "--patch", "64x64x64"]) == 0
    shown = capsys.readouterr().out
    assert "62.19 M" in shown  # MONAI's count for 48 features and 3 outputs is 62,186,759
    assert "on a patch of 64x64x64 voxels" in shown
    assert "swin_unetr: Hatamizadeh et al. 2022, Swin UNETR" in shown
    assert "res_enc_unet: Isensee et al. 2024" in shown
    assert "Differs" not in shown


def test_time_and_memory_are_shown_when_asked(capsys, monkeypatch):
    seen = []

    def measure(subject, work):
        seen.append((subject.size, subject.patch, work))
        return Measured(seconds=1.25, peak_bytes=3 * 2**29, device="cpu", threads=2)

    monkeypatch.setattr(costs, "measure", measure)
    args = ["networks", "swin_unetr", "--size", "tiny", "--patch", "32x40x48", "--measure"]
    assert run(args) == 0
    assert seen == [("tiny", (32, 40, 48), work) for work in ("training step", "prediction")]
    assert capsys.readouterr().out.count("1.25 s, 1.50 GiB") == 2


def test_too_little_memory_is_a_cell_of_the_table(capsys, monkeypatch):
    def measure(_subject, _work):
        raise MemoryError

    monkeypatch.setattr(costs, "measure", measure)
    assert run(["networks", "swin_unetr", "--size", "tiny", "--measure"]) == 0
    assert "out of memory" in capsys.readouterr().out


def test_a_network_that_lacks_a_package_is_listed_all_the_same(capsys, monkeypatch):
    def count(subject):
        if subject.name == "res_enc_unet":
            raise ModuleNotFoundError(name="nnunetv2")
        return Counted(parameters=2_000_000, multiply_adds=10**9)

    monkeypatch.setattr(costs, "count", count)
    assert run(["networks"]) == 0
    shown = capsys.readouterr().out
    assert "needs nnunetv2" in shown
    assert "2.00 M" in shown


def test_a_size_lists_the_networks_that_have_it(capsys, monkeypatch):
    monkeypatch.setattr(costs, "count", lambda _: Counted(parameters=1, multiply_adds=1))
    assert run(["networks", "--size", "base_light"]) == 0
    shown = capsys.readouterr().out
    assert "ds_transunet" in shown
    assert "swin_umamba" in shown
    assert "d_former" not in shown


def test_a_wrong_name_is_refused_before_anything_is_measured(monkeypatch):
    seen = []
    monkeypatch.setattr(costs, "measure", lambda *given: seen.append(given))
    assert run(["networks", "swin_unetr", "nonsense", "--size", "tiny", "--measure"]) == 2
    assert seen == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["swinunetr"], "choose from"),
        (["swin_unetr", "--size", "huge"], "Choose from tiny, small, base"),
        (["--size", "huge"], "base_light"),
        (["d_former", "swin_unetr", "--size", "base_light"], "of d_former, swin_unetr none has"),
        (["--patch", "96"], "Write it as 96x96x96"),
        (["--patch", "0x96x96"], "Write it as 96x96x96"),
    ],
)
def test_wrong_words_name_the_choices(capsys, args, message):
    assert run(["networks", *args]) == 2
    assert message in capsys.readouterr().err
