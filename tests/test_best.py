"""best.ckpt holds the best weights of metrics.csv, whatever happens to the run and its folder.

Here is a sample of the settings and moments; tests/slow/test_moments.py has all of them.
"""

import itertools
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from runs_in_process import (
    assert_equal,
    assert_same_run,
    best_value,
    copied,
    moments,
    numbers,
    rows,
    train,
    train_and_kill,
    weights,
)

import gdl
from gdl.errors import GdlError
from gdl.runs.directory import Run
from gdl.training import BestCheckpoint

SETTINGS = {
    "steps": ["trainer.max_steps=10", "checkpoint_every=1e-9"],  # a save after each
    "within an epoch": ["+trainer.val_check_interval=3", "checkpoint_every=1e-9"],
    "ends between two": ["trainer.check_val_every_n_epoch=2"],
    "all of it": [
        "+trainer.val_check_interval=2",
        "trainer.accumulate_grad_batches=3",
        "callbacks=ema",
        "callbacks.ema.decay=0.5",
        "scheduler@model.scheduler=cosine",
        "checkpoint_every=1e-9",
    ],
}


@pytest.fixture(scope="module", params=SETTINGS)
def calm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str], list[str]]:
    """An undisturbed run, its options and its moments."""
    folder, options = tmp_path_factory.mktemp("calm") / "run", SETTINGS[request.param]
    return folder, options, moments(folder, *options)


def validated(folder: Path) -> float:
    """Return val/nll of the weights in best.ckpt, computed anew."""
    path = folder / "checkpoints" / "best.ckpt"
    trainer = pl.Trainer(
        accelerator="cpu",
        limit_val_batches=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    model, data = gdl.load(path, device="cpu"), gdl.load_data(path)
    return trainer.validate(model, datamodule=data, verbose=False)[0]["val/nll"]


def test_the_best_of_all_validations_is_kept(calm: tuple[Path, list[str], list[str]]) -> None:
    folder = calm[0]
    values = [float(r["val/nll"]) for r in rows(folder) if r["val/nll"]]
    assert best_value(folder) == min(values) == numbers(folder)["best_val/nll"]
    assert validated(folder) == pytest.approx(min(values), rel=1e-6)
    if "+trainer.val_check_interval=3" in calm[1]:
        assert min(values) not in (values[0], values[-1]), "else the test would show little"


def test_a_finished_run_stays_as_it_is(
    calm: tuple[Path, list[str], list[str]], tmp_path: Path
) -> None:
    folder, options, _ = calm
    again = copied(folder, tmp_path / "elsewhere")
    (again / "metrics.json").unlink()  # as if it had been killed in the test
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*are not in.*")
        train(again, *options)
    assert_same_run(folder, again)
    seconds = [
        json.loads((f / "metrics.json").read_text())["train_seconds"] for f in (folder, again)
    ]
    assert seconds[0] >= seconds[1], "no time was spent on training"


def test_a_run_that_was_killed_and_moved_is_the_same(
    calm: tuple[Path, list[str], list[str]], tmp_path: Path
) -> None:
    folder, options, names = calm
    saved = [i for i, n in enumerate(names) if n == "after last.ckpt"]
    # a row of metrics.csv is of three steps, and every third step may be validated
    for moment in saved[len(saved) // 2 :][:3]:
        assert train_and_kill(tmp_path / "killed", moment, *options) == names[moment]
        moved = (tmp_path / "killed").rename(tmp_path / f"moved{moment}")
        train(moved, *options)
        assert_same_run(folder, moved)


def test_a_resumed_run_does_not_take_a_worse_epoch_for_the_best(tmp_path: Path) -> None:
    """Kills where best.ckpt is of an epoch that the resumed run, with another goal, never reaches."""
    names = moments(tmp_path / "calm", "+trainer.val_check_interval=3")
    saved = [i for i, n in enumerate(names) if n == "after best.ckpt.next"]
    assert saved, "a new best waits for last.ckpt"
    for moment in saved[:2]:
        folder = tmp_path / f"killed{moment}"
        train_and_kill(folder, moment, "+trainer.val_check_interval=3")
        train(folder, "+trainer.val_check_interval=7")
        assert numbers(folder)["best_val/nll"] == best_value(folder)
        assert validated(folder) == pytest.approx(best_value(folder), rel=1e-6)


@pytest.mark.parametrize("damage", ["gone", "cut", "of another step"])
def test_a_best_that_is_lost_is_not_claimed(tmp_path: Path, damage: str) -> None:
    run = Run(tmp_path / "run")
    train(run.path, "trainer.max_epochs=1")
    best = run.checkpoints / "best.ckpt"
    if damage == "gone":
        best.unlink()
    elif damage == "cut":
        best.write_bytes(best.read_bytes()[:-100])
    else:
        content = torch.load(best, weights_only=True)
        content["gdl_best"]["step"] += 1000
        torch.save(content, best)
    with pytest.warns(UserWarning, match="are not in"):
        train(run.path, "trainer.max_epochs=2")
    assert numbers(run.path)["best_val/nll"] == pytest.approx(validated(run.path), rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        ["callbacks.checkpoint=null"],
        ["callbacks.checkpoint=null", "callbacks.last=null", "checkpoint_every=null"],
        ["trainer.limit_val_batches=0"],
        ["callbacks.checkpoint=null", "model=ae"],
    ],
)
def test_without_a_best_the_last_weights_are_tested(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run", *options, "trainer.max_epochs=1")
    assert "the last weights are tested" in capsys.readouterr().out
    found = numbers(tmp_path / "run")
    assert found["test/loss"] > 0
    assert not [name for name in found if name.startswith("best_")]
    assert not (tmp_path / "run/checkpoints/best.ckpt").exists()
    assert len(list((tmp_path / "run").glob("**/*.ckpt"))) == (
        "callbacks.last=null" not in options
    )


def test_the_monitored_number_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(GdlError, match=r"use one of val/bpd, val/loss, val/nll"):
        train(tmp_path / "run", "callbacks.checkpoint.monitor=val/accuracy")
    with pytest.raises(GdlError, match="min or max"):
        BestCheckpoint("", mode="lowest")


def test_large_numbers_can_be_good(tmp_path: Path) -> None:
    options = ["callbacks.checkpoint.monitor=val/bpd", "callbacks.checkpoint.mode=max"]
    train(tmp_path / "run", *options)
    assert numbers(tmp_path / "run")["best_val/bpd"] == best_value(
        tmp_path / "run", "val/bpd", max
    )


def test_rows_are_of_steps(tmp_path: Path) -> None:
    """Gradients of three batches make a step, and the seventh batch of an epoch ends it alone."""
    options = ["trainer.accumulate_grad_batches=3", "scheduler@model.scheduler=cosine"]
    train(tmp_path / "run", *options, "trainer.log_every_n_steps=1")
    found = [r for r in rows(tmp_path / "run") if r["train/nll"]]
    assert [int(r["step"]) for r in found] == list(range(6))
    assert float(found[0]["lr"]) == 4, "the first step has the whole rate"
    assert all(a["lr"] > b["lr"] for a, b in itertools.pairwise(found))
    assert all(r["grad_norm"] for r in found)


def old_files(run: Run) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in run.checkpoints.glob("*.ckpt"):
        content = torch.load(path, weights_only=True)
        del content["gdl_best"]
        content["callbacks"]["ModelCheckpoint{'monitor': 'val/nll', 'mode': 'min'}"] = {
            "monitor": "val/nll",
            "best_model_score": torch.tensor(1.0),
            "best_model_path": "/elsewhere/best.ckpt",
        }
        yield path, content


def test_a_run_of_the_version_before_goes_on_with_its_best(tmp_path: Path) -> None:
    options = ["+trainer.val_check_interval=3"]
    train(tmp_path / "run", *options)
    run = Run(tmp_path / "run")
    for path, content in old_files(run):  # they say that the best was 1 nat
        torch.save(content, path)
    kept = weights(run.path)
    train(run.path, *options, "trainer.max_epochs=3")
    assert numbers(run.path)["best_val/nll"] == 1
    assert_equal(weights(run.path), kept)
