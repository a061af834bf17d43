"""A run from beginning to end, and from where it was interrupted."""

import json
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from medseg import bundle as bundles
from medseg import networks, registry
from medseg.errors import DataError, UsageError
from medseg.training.fit import fit, resume
from medseg.training.run_folder import RunFolder, read_metrics, start


class Listener:
    """Notes what it is told, and presses Ctrl-C after a step if asked to."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.reports = []
        self.stages = []
        self.inits = []

    def on_case(self, stage, total):
        self.stages.append((stage, total))

    def on_survey(self, survey):
        self.survey = survey

    def on_plan(self, plan, split):
        self.plan, self.split = plan, split

    def on_concern(self, said):
        raise AssertionError(said)

    def on_init(self, report):
        self.inits.append(report)

    def on_smaller(self, said):
        raise AssertionError(said)

    def on_interrupt(self):
        self.interrupted = True

    def on_step(self, report):
        self.reports.append(report)
        if report.step == self.stop_after:
            signal.raise_signal(signal.SIGINT)


def _weights(folder):
    return load_file(folder.bundle / "weights.safetensors")


def _same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run with spaces")


@pytest.fixture(scope="module")
def whole_run(make_request, tmp_path_factory):
    """A run of three epochs of two steps that nothing disturbed."""
    folder = RunFolder(tmp_path_factory.mktemp("whole") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDSEG_HOME", str(folder.path.parent / "home"))
        outcome = fit(make_request(), folder, Listener())
    return folder, outcome


@pytest.mark.slow
def test_the_run_folder_holds_all_that_it_promises(whole_run):
    folder, outcome = whole_run
    there = {path.name for path in folder.path.iterdir()}
    assert there == {
        *("run.json", "task.yaml", "plan.yaml", "experience.yaml", "versions.json", "split.json"),
        *("metrics.csv", "curves.png", "last.ckpt", "bundle", "best", "pictures", "tensorboard"),
    }
    drawn = {path.name for path in folder.pictures.iterdir()}
    assert drawn == {"patches.png", "epoch_0001.png", "epoch_0002.png", "epoch_0003.png"}
    assert outcome.finished
    assert [row["step"] for row in read_metrics(folder.metrics)] == [2, 4, 6]
    bundle = bundles.read(folder.path)
    assert bundle.plan.patch == (16, 16, 16)
    assert bundle.experience.cases == 4  # those that were trained on
    assert bundle.experience.spacing_mm[2].middle == pytest.approx(2.5)
    assert bundle.experience.labels.keys() == {"rim", "mantle", "inner"}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_bit_for_bit(whole_run, make_request, folder):
    fit(make_request(), folder, Listener())
    assert _same(_weights(folder), _weights(whole_run[0]))


@pytest.mark.slow
def test_another_seed_gives_other_weights(whole_run, make_request, folder):
    fit(make_request("training.seed=1"), folder, Listener())
    assert not _same(_weights(folder), _weights(whole_run[0]))


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 4])
def test_a_resumed_run_ends_as_if_it_had_never_stopped(whole_run, make_request, folder, step):
    listener = Listener(stop_after=step)
    stopped = fit(make_request(), folder, listener)
    assert not stopped.finished
    assert listener.reports[-1].step == step + 1 or listener.reports[-1].step == step
    assert resume(folder, Listener()).finished
    assert _same(_weights(folder), _weights(whole_run[0]))
    without_time = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in read_metrics(f.metrics)]
        for f in (folder, whole_run[0])
    ]
    assert without_time[0] == without_time[1]


@pytest.mark.slow
def test_a_stopped_run_has_a_model_too(make_request, folder):
    before = signal.getsignal(signal.SIGINT)
    outcome = fit(make_request(), folder, Listener(stop_after=1))
    assert not outcome.finished
    assert bundles.read(folder.path).task.name == "phantom"
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_resuming_a_finished_run_changes_nothing(whole_run):
    folder, _ = whole_run
    before = _weights(folder)
    assert resume(folder, Listener()).finished
    assert _same(before, _weights(folder))


@pytest.mark.slow
def test_training_ends_when_its_time_is_up(make_request, folder):
    listener = Listener()
    outcome = fit(make_request(epochs=10_000, max_seconds=6.0), folder, listener)
    assert outcome.finished
    assert listener.reports[-1].fraction == 1.0
    assert read_metrics(folder.metrics)[-1]["step"] == listener.reports[-1].step


@pytest.mark.slow
def test_bfloat16_trains_too(make_request, folder):
    settings = ("training.precision=bfloat16", "training.decay=poly")
    listener = Listener()
    fit(make_request(*settings, epochs=1), folder, listener)
    assert all(torch.isfinite(torch.tensor(report.loss)) for report in listener.reports)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_trains_resumes_and_predicts(make_request, folder):
    request = replace(make_request(), device="cuda")
    assert not fit(request, folder, Listener(stop_after=3)).finished
    assert resume(folder, Listener()).finished
    assert all(weight.isfinite().all() for weight in _weights(folder).values())


@pytest.mark.slow
def test_held_out_cases_are_never_trained_on(whole_run):
    split = json.loads((whole_run[0].path / "split.json").read_text())
    names = {part: {case["name"] for case in split[part]} for part in ("training", "held_out")}
    assert not names["training"] & names["held_out"]
    assert len(names["training"] | names["held_out"]) == 6


def test_resuming_nothing_is_refused(folder):
    with pytest.raises(UsageError, match="no training run"):
        resume(folder, Listener())


@pytest.mark.slow
def test_a_run_that_never_reached_a_checkpoint_begins_anew(make_request, phantom_task, folder):
    start(folder, make_request(epochs=1), phantom_task)
    assert resume(folder, Listener()).finished


@pytest.mark.slow
def test_an_older_model_of_a_finished_run_is_replaced_by_its_checkpoint(whole_run, tmp_path):
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(whole_run[0].path, copy.path)
    older = {name: torch.zeros_like(weight) for name, weight in _weights(copy).items()}
    bundle = bundles.read(copy.path)
    bundles.write(copy.bundle, bundle.task, bundle.plan, older)
    copy.cache.mkdir()
    assert resume(copy, Listener()).finished
    assert _same(_weights(copy), _weights(whole_run[0]))
    assert not copy.cache.exists()


@pytest.mark.slow
def test_a_lost_model_of_a_finished_run_comes_back_from_its_checkpoint(whole_run, tmp_path):
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(whole_run[0].path, copy.path)
    shutil.rmtree(copy.bundle)
    outcome = resume(copy, Listener())
    assert outcome.bundle.experience == bundles.read(whole_run[0].path).experience
    assert _same(_weights(copy), _weights(whole_run[0]))
    assert outcome.dice == pytest.approx(whole_run[1].dice, rel=1e-4)


@pytest.mark.slow
def test_ctrl_c_at_the_last_step_is_a_finished_run(make_request, folder):
    assert fit(make_request(epochs=1), folder, Listener(stop_after=2)).finished


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(make_request, folder):
    class Impatient(Listener):
        def on_interrupt(self):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(make_request(), folder, Impatient(stop_after=1))
    assert not folder.bundle.exists()


@pytest.mark.slow
def test_a_resume_keeps_its_cases_when_others_have_come(
    whole_run, make_request, phantom_folder, tmp_path
):
    data = tmp_path / "data"
    shutil.copytree(phantom_folder, data)
    folder = RunFolder(tmp_path / "run")
    fit(make_request(data=data), folder, Listener(stop_after=3))
    description = json.loads((data / "dataset.json").read_text())
    description["training"] = description["training"][1:]
    (data / "dataset.json").write_text(json.dumps(description))
    assert resume(folder, Listener()).finished
    assert _same(_weights(folder), _weights(whole_run[0]))


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused(make_request, folder):
    fit(make_request(), folder, Listener(stop_after=1))
    folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:1000])
    with pytest.raises(UsageError, match="cannot be resumed"):
        resume(folder, Listener())


def test_options_are_checked_at_the_size_that_will_be_built(make_request, tmp_path, folder):
    small = ("network.name=res_enc_unet", "network.options.blocks=[1,1,1,1,1]")
    request = make_request(data=tmp_path)  # which holds no data: the options are checked before
    request = replace(request, network="res_enc_unet", settings=small)
    with pytest.raises(DataError, match="holds no data in decathlon layout"):
        fit(request, folder, Listener())


def test_a_wrong_network_option_is_refused_before_anything_is_made(make_request, folder):
    with pytest.raises(UsageError, match="featuers"):
        fit(make_request("network.options.featuers=24"), folder, Listener())
    assert not folder.path.exists()


def test_wrong_data_are_refused_before_training(make_request, tmp_path, folder):
    with pytest.raises(DataError, match="no such folder"):
        fit(make_request(data=tmp_path / "nowhere"), folder, Listener())
    assert not folder.path.exists()


@pytest.mark.slow
def test_a_run_can_begin_with_the_weights_of_another(whole_run, make_request, folder):
    listener = Listener()
    request = replace(make_request(epochs=1), init=(str(whole_run[0].path),))
    fit(request, folder, listener)
    assert [report.missing for report in listener.inits] == [()]
    # two steps at the start of the warm-up leave the weights close to those they began with
    begun, given = _weights(folder), _weights(whole_run[0])
    apart = max(float((begun[name] - given[name]).abs().max()) for name in given)
    assert apart < 0.01


def test_weights_that_are_not_there_are_missed_before_the_data_are_read(make_request, folder):
    request = replace(make_request(data="/nowhere"), init=("/no/weights.pt",))
    with pytest.raises(UsageError, match="weights"):
        fit(request, folder, Listener())


class PreparedError(Exception):
    """Cases would be prepared now."""


class Hasty(Listener):
    """Stops before the cases are prepared."""

    def on_plan(self, plan, split):
        super().on_plan(plan, split)
        raise PreparedError


def test_weights_that_do_not_fit_are_refused_before_cases_are_prepared(
    make_request, folder, tmp_path
):
    torch.save({"a.weight": torch.ones(2)}, tmp_path / "other.pt")
    request = replace(make_request(epochs=1), init=(str(tmp_path / "other.pt"),))
    with pytest.raises(UsageError, match="do not fit"):
        fit(request, folder, Hasty())


def test_two_encoders_begin_with_two_files(make_request, folder, tmp_path, swin_of_images):
    options = {"size": "tiny", "features": 16, "window": 7, "patch_embedding": 4}
    files = []
    for features, depths, patch in ((16, (1, 2, 1, 1), 4), (8, (1, 1, 1, 1), 8)):
        state = swin_of_images(features, depths=depths, heads=(1, 2, 4, 8), patch=patch)
        files.append(str(tmp_path / f"swin_{features}.pt"))
        torch.save({"model": state}, files[-1])
    listener = Hasty()
    settings = (f"network.options={json.dumps(options)}", "patch=[16,24,16]")
    request = make_request(epochs=1)
    with pytest.raises(PreparedError):
        fit(
            replace(request, network="ds_transunet", settings=settings, init=tuple(files)),
            folder,
            listener,
        )
    assert ["fine" in report.what for report in listener.inits] == [True, False]
    assert [report.missing for report in listener.inits] == [(), ()]
    assert all(name.startswith("coarse.") for name in listener.inits[1].matched)
    assert listener.plan.network.options == options  # as made, and not as suits the patch


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.names(networks))
def test_every_network_trains_and_leaves_a_model_that_predicts(make_request, folder, name):
    settings = (
        "network.options={size: tiny}",
        "patch=[16,24,16]",
        "training.steps_per_epoch=2",
        "training.batch=1",
        "training.validation_cases=1",
    )
    request = replace(make_request(epochs=1), network=name, settings=settings)
    outcome = fit(request, folder, Listener())
    assert outcome.finished
    network = bundles.read(folder.path).build_network()
    with torch.no_grad():
        assert network(torch.zeros(1, 2, 20, 17, 16)).shape == (1, 3, 20, 17, 16)


@pytest.mark.slow
def test_training_ends_when_patience_does(make_request, folder):
    # At a learning rate of 0 the first validation stays the best.
    still = make_request("training.patience=2", "training.learning_rate=1e-30", epochs=9)
    listener = Listener()
    assert fit(still, folder, listener).finished
    assert [row["epoch"] for row in read_metrics(folder.metrics)] == [1, 2, 3]
    assert bundles.read(folder.best).task.name == "phantom"
