"""The lean loop trains as Lightning's own does, bit for bit, with the same counters and hooks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer import call
from runs_in_process import assert_same_run, train, weights

from gdl.training import lean_loop, run
from gdl.training.lean_loop import HOOKS, _LeanLoop, _LeanOptimization

VAE = ["model=vae", "model.latent_dim=2", "model.encoder.hidden=[8]", "model.decoder.hidden=[8]"]
CASES = {
    "plain": [],
    "schedule": ["scheduler@model.scheduler=cosine", "model.scheduler.warmup_steps=3"],
    "clipped": ["trainer.gradient_clip_val=0.1"],
    "warm-up": [*VAE, "model.kl_warmup_steps=5"],
    "averaged": [*VAE, "callbacks=ema", "callbacks.ema.decay=0.9"],
    "masks": ["model=made", "model.hidden=[8]", "model.num_masks=3", "model.order=random"],
    "labels": ["model.conditional=true", "model.label_dropout=0.3"],
    "half precision": ["trainer.precision=bf16-mixed"],
    "max_steps": ["trainer.max_steps=7"],
    "several validations": ["+trainer.val_check_interval=2"],
}


def spied(
    patch: pytest.MonkeyPatch, owner: Any, name: str, seen: list[Any], what: Callable
) -> None:
    original = getattr(owner, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(what(*args))
        return original(*args, **kwargs)

    patch.setattr(owner, name, watched)


@pytest.mark.parametrize("name", CASES)
def test_it_is_lightnings_loop(name: str, tmp_path: Path) -> None:
    """The order of the callbacks' hooks is compared too."""
    seen: dict[str, list[str]] = {"lean": [], "lightning": []}
    steps: list[Any] = []
    for kind, hooks in seen.items():
        with pytest.MonkeyPatch.context() as patch:
            spied(patch, call, "_call_callback_hooks", hooks, lambda trainer, hook, *_: hook)
            spied(patch, _LeanOptimization, "call", hooks, lambda loop, hook, *_: hook)
            spied(patch, _LeanOptimization, "call", steps, lambda loop, hook, *_: hook)
            if kind == "lightning":
                patch.setattr(run, "lean", lambda trainer: None)
            train(tmp_path / kind, *CASES[name])
        assert bool(steps) == (kind == "lean" or bool(seen["lean"]))
    assert_same_run(tmp_path / "lean", tmp_path / "lightning")
    counters = [weights(tmp_path / kind, "last", "loops") for kind in seen]
    for part, state in counters[0]["fit_loop"].items():
        assert state == counters[1]["fit_loop"][part], part
    assert seen["lean"] == seen["lightning"]


@pytest.mark.parametrize(
    "options",
    [
        ["trainer.accumulate_grad_batches=2"],
        ["trainer.profiler._target_=lightning.pytorch.profilers.SimpleProfiler"],
    ],
    ids=["gathered gradients", "profiler"],
)
def test_what_it_does_not_know_is_lightnings(options: list[str], tmp_path: Path) -> None:
    steps: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        spied(patch, _LeanOptimization, "call", steps, lambda loop, hook, *_: hook)
        train(tmp_path, *options)
    assert not steps


def test_a_model_that_overrides_a_step_of_lightning_has_its_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gdl.models import MADE

    called, steps = [], []
    monkeypatch.setattr(
        MADE, "backward", lambda self, loss: (called.append(1), loss.backward()), raising=False
    )
    spied(monkeypatch, _LeanOptimization, "call", steps, lambda loop, hook, *_: hook)
    train(tmp_path)
    assert called
    assert not steps


def test_callbacks_get_the_hooks_that_they_override(tmp_path: Path) -> None:
    names: list[str] = []

    def noting(hook: str) -> Callable[..., None]:
        return lambda self, trainer, model, *_: names.append(
            f"{hook} {model._current_fx_name == hook}"
        )

    noisy = type("Noisy", (Callback,), {hook: noting(hook) for hook in HOOKS})
    original = lean_loop.overridden
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            lean_loop, "overridden", lambda t: (t.callbacks.append(noisy()), original(t))[1]
        )
        train(tmp_path, "trainer.max_epochs=1")
    assert names[: len(HOOKS)] == [f"{hook} True" for hook in HOOKS]


def test_another_lightning_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    monkeypatch.setattr(pl, "__version__", "2.7.0")
    lean_loop.lean(trainer)
    assert not isinstance(trainer.fit_loop.epoch_loop, _LeanLoop)
