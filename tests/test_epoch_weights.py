"""callbacks=history keeps the weights of epochs, as they are tested, and changes nothing else."""

import itertools
from pathlib import Path

import hydra
import pytest
import torch
from hydra.errors import MissingConfigException
from runs_in_process import (
    assert_equal,
    assert_same_run,
    copied,
    moments,
    train,
    train_and_kill,
    weights,
)

import gdl
from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.evaluate import evaluate
from gdl.commands.resume import with_resume
from gdl.commands.unknown_names import unknown_group
from gdl.errors import GdlError
from gdl.runs.directory import Run
from gdl.runs.epochs import epoch_file, epoch_of
from gdl.serialization import read_checkpoint
from gdl.training.epoch_weights import is_kept

EVERY = "callbacks.history.every_n_epochs=1"
SHORT = ["trainer.limit_train_batches=3", "callbacks.images=null"]
KINDS = {
    "plain": ["callbacks=history", EVERY],
    "averaged": ["callbacks=[ema,history]", "callbacks.ema.decay=0.9", EVERY],
}


def kept(folder: Path) -> list[int]:
    return list(Run(folder).epochs())


@pytest.fixture(scope="module", params=KINDS)
def run(request, tmp_path_factory) -> tuple[Path, list[str], list[str]]:
    """An undisturbed run of two epochs, its options and its moments."""
    folder, options = tmp_path_factory.mktemp("history") / "run", [*SHORT, *KINDS[request.param]]
    return folder, options, moments(folder, *options)


def test_epochs_hold_what_is_tested_and_any_command_reads_them(run) -> None:
    folder = run[0]
    assert kept(folder) == [0, 1, 2]
    values = {}
    for number, path in Run(folder).epochs().items():
        content = read_checkpoint(path)
        assert content["gdl_epoch"] == number
        assert not {"optimizer_states", "current_model_state", "loops"} & content.keys()
        values[number] = content["gdl_validation"].get("val/nll")
        assert_equal(dict(gdl.load(str(path), device="cpu").state_dict()), content["state_dict"])
    assert values.pop(0) is None, "before the first step nothing is validated"
    best = min(values, key=values.get)
    assert_equal(weights(folder, f"epoch_{best:04d}"), weights(folder, "best"))
    assert_equal(weights(folder, "epoch_0002"), weights(folder, "last"))
    first = weights(folder, "epoch_0000")
    assert any(not torch.equal(v, first[k]) for k, v in weights(folder, "epoch_0001").items())


def test_it_changes_nothing_and_is_off_by_default(run, tmp_path: Path) -> None:
    folder, options, _ = run
    without = [o for o in options if "history" not in o]
    train(tmp_path / "run", *without, *(["callbacks=ema"] if len(options) > 4 else []))
    assert kept(tmp_path / "run") == []
    assert_same_run(tmp_path / "run", folder)


@pytest.mark.parametrize("moment", ["before epoch_0001.ckpt", "after last.ckpt"])
def test_a_killed_run_has_the_epochs_of_an_undisturbed_one(
    moment: str, run, tmp_path: Path
) -> None:
    folder, options, names = run
    killed = tmp_path / "killed"
    assert train_and_kill(killed, names.index(moment), *options) == moment
    assert (moment == "after last.ckpt") == (1 in kept(killed)), "the epoch comes before last.ckpt"
    epoch_file(killed / "checkpoints", 7).write_bytes(b"of another start")
    train(killed, *options)
    assert kept(killed) == kept(folder)
    for number in kept(folder):
        name = f"epoch_{number:04d}"
        assert_equal(weights(killed, name), weights(folder, name))


def test_a_run_that_trains_longer_keeps_its_past(run, tmp_path: Path) -> None:
    folder, options, _ = run
    train(tmp_path / "run", *options, "trainer.max_epochs=1")
    before = epoch_file(tmp_path / "run" / "checkpoints", 0).read_bytes()
    train(tmp_path / "run", *options)
    assert kept(tmp_path / "run") == [0, 1, 2]
    assert epoch_file(tmp_path / "run" / "checkpoints", 0).read_bytes() == before
    assert_equal(weights(tmp_path / "run", "epoch_0002"), weights(folder, "epoch_0002"))


def test_no_run_goes_on_from_weights_only(run) -> None:
    path = Run(run[0]).epochs()[1]
    with pytest.raises(GdlError, match=r"epoch_0001\.ckpt holds weights only.*resume=") as e:
        with_resume([f"resume={path}"])
    assert "\n" not in str(e.value)


def test_weights_alone_are_nothing_to_go_on_from(run, tmp_path: Path) -> None:
    found = Run(tmp_path)
    found.checkpoints.mkdir()
    epoch_file(found.checkpoints, 0).write_bytes(Run(run[0]).epochs()[0].read_bytes())
    assert not found.has_checkpoint


def test_numbers_of_an_epoch_are_not_the_runs(
    run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(run[0], tmp_path / "run")
    before = (folder / "metrics.json").read_bytes()
    for name, is_kept_number in (("epoch_0001.ckpt", False), ("best.ckpt", True)):
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            chosen = [f"run={folder / 'checkpoints' / name}", "measure=bits", "device=cpu"]
            cfg = hydra.compose("evaluate", chosen)
        assert evaluate(cfg)
        after = (folder / "metrics.json").read_bytes()
        assert (after != before) == is_kept_number
        assert ("not kept, they are of the weights after epoch 1" in capsys.readouterr().out) != (
            is_kept_number
        )


def test_gaps_grow_and_the_first_epochs_are_kept() -> None:
    epochs = [n for n in range(1000) if is_kept(n)]
    assert epochs[:4] == [0, 1, 2, 3]
    assert len(epochs) <= 22
    gaps = [b - a for a, b in itertools.pairwise(epochs)]
    assert gaps == sorted(gaps)
    assert [n for n in range(10) if is_kept(n, 4)] == [0, 4, 8]
    assert [epoch_of(epoch_file("a", n)) for n in (0, 3, 12345)] == [0, 3, 12345]


@pytest.mark.parametrize("override", ["callbacks=histroy", "callbacks=[ema,histroy]"])
def test_a_choice_that_does_not_exist_is_told_with_the_nearest_also_in_a_list(
    override: str,
) -> None:
    register_resolvers()
    config = hydra.initialize_config_dir(str(CONF), version_base="1.3")
    with config, pytest.raises(MissingConfigException) as e:
        hydra.compose("train", [override])
    text = unknown_group(e.value)
    assert text.startswith("callbacks=histroy does not exist: did you mean history?")


def test_entries_of_several_choices_are_all_there() -> None:
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        for names in ("[ema,history]", "[history,ema]"):
            found = hydra.compose("train", [f"callbacks={names}"]).callbacks
            assert {"checkpoint", "last", "ema", "history"} <= {k for k, v in found.items() if v}
