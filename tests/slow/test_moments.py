"""A run that is killed, moved and resumed is the undisturbed one, in many settings and moments."""

import shutil
from pathlib import Path

import pytest
from runs_in_process import (
    assert_same_run,
    best_value,
    moments,
    numbers,
    train,
    train_and_kill,
)

SAVES = "checkpoint_every=1e-9"  # after each step where a run can go on
SETTINGS = [
    [],
    [SAVES],
    ["+trainer.val_check_interval=0.3", SAVES],
    ["+trainer.val_check_interval=1", SAVES],
    ["+trainer.val_check_interval=2", "trainer.accumulate_grad_batches=3"],
    ["+trainer.val_check_interval=2", "trainer.accumulate_grad_batches=3", SAVES],
    ["trainer.check_val_every_n_epoch=2"],
    ["trainer.check_val_every_n_epoch=2", "trainer.accumulate_grad_batches=2", SAVES],
    ["trainer.max_steps=10", SAVES],
    ["trainer.max_steps=14"],
    [
        "trainer.max_steps=10",
        "trainer.max_epochs=-1",
        "trainer.check_val_every_n_epoch=null",
        "+trainer.val_check_interval=4",
        SAVES,
    ],
    ["callbacks=ema", "callbacks.ema.decay=0.5", "scheduler@model.scheduler=cosine", SAVES],
    ["callbacks.last=null", "+trainer.val_check_interval=3"],
    ["callbacks.last=null", "+trainer.val_check_interval=3", "checkpoint_every=0.001"],
    ["callbacks.last=null", "trainer.accumulate_grad_batches=3", "+trainer.val_check_interval=2"],
    ["callbacks.checkpoint=null", SAVES],
    ["callbacks.checkpoint=null", "callbacks.last=null", "checkpoint_every=null"],
    ["callbacks.checkpoint.monitor=val/bpd", "callbacks.checkpoint.mode=max", SAVES],
    ["trainer.limit_val_batches=0", SAVES],
    ["callbacks.images.every_n_epochs=1", "trainer.log_every_n_steps=3", SAVES],
]


@pytest.mark.slow
@pytest.mark.parametrize("options", SETTINGS, ids=lambda o: " ".join(o) or "default")
def test_every_moment(options: list[str], tmp_path: Path) -> None:
    calm = tmp_path / "calm"
    names = moments(calm, *options)
    if "limit_val_batches" not in str(options) and "checkpoint=null" not in str(options):
        assert numbers(calm).get("best_val/nll", best_value(calm)) == best_value(calm)
    for moment in range(len(options), len(names), 11):
        killed, moved = tmp_path / f"killed{moment}", tmp_path / f"moved{moment}"
        assert train_and_kill(killed, moment, *options) == names[moment]
        killed.rename(moved)
        train(moved, *options)
        assert_same_run(calm, moved)
        shutil.rmtree(moved)
