"""Whole training runs in this process, which can be killed at any hook and at any write of a file."""

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.trainer import call
from omegaconf import open_dict

from gdl.commands.conf import CONF, register_resolvers
from gdl.files import is_whole_archive
from gdl.runs.checkpoints import AtomicCheckpointIO
from gdl.runs.directory import Run
from gdl.training import finish
from gdl.training import run as stages
from gdl.training.lean_loop import _LeanOptimization

TINY = [
    "data=digits",
    "data.batch_size=64",
    "logger=csv",
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=7",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "trainer.log_every_n_steps=3",
    "callbacks.progress=null",
    "+trainer.enable_progress_bar=false",
    "callbacks.images.n=1",
]
MADE = [
    "model=made",
    "model.hidden=[8]",
    "model.optimizer.lr=4",  # too large, so that not every validation is better
]
TIMES = ("seconds", "images_per_second", "train_seconds", "sampling_ms")


class Killed(BaseException):
    """What stands for the end of the process; nothing in gdl catches it."""


class Moments:
    """Counts the moments of a run, and ends it at one of them."""

    def __init__(self, patch: pytest.MonkeyPatch, kill_at: int | None = None) -> None:
        self.names: list[str] = []
        self.kill_at = kill_at
        self._around(patch, call, "_call_callback_hooks", lambda trainer, hook, *_: hook)
        self._around(patch, _LeanOptimization, "call", lambda loop, hook, *_: hook)
        self._around(patch, AtomicCheckpointIO, "save_checkpoint", lambda io, c, path, *_: path)
        self._around(patch, Path, "replace", lambda path, target: target)

    def _around(
        self, patch: pytest.MonkeyPatch, owner: Any, name: str, label: Callable[..., Any]
    ) -> None:
        original = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            what = label(*args)
            what = what.name if isinstance(what, Path) else what
            self._pass(f"before {what}")
            result = original(*args, **kwargs)
            self._pass(f"after {what}")
            return result

        patch.setattr(owner, name, watched)

    def _pass(self, name: str) -> None:
        if self.kill_at is not None and len(self.names) > self.kill_at:
            return  # the process is gone; only Lightning's own tidying goes on
        self.names.append(name)
        if len(self.names) - 1 == self.kill_at:
            raise Killed(name)


def train(folder: Path, *overrides: str) -> None:
    """Run `gdl train` in a folder; go on from its checkpoint, if there is one.

    The model is a small MADE, if no other is named.
    """
    run = Run(folder)
    resume = [f"resume={run.checkpoint('last')}"] if run.has_checkpoint else []
    model = [] if any(o.startswith("model=") for o in overrides) else MADE
    arguments = [*TINY, *model, *overrides, *resume]
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose(
            "train", [*arguments, f"hydra.runtime.output_dir={folder}"], return_hydra_config=True
        )
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg.hydra
        cfg.run_dir = str(folder)
    job = stages.prepare(cfg)
    stages.fit(job)
    finish(job)


def train_and_kill(folder: Path, kill_at: int, *overrides: str) -> str | None:
    """Run until a moment; return its name, None if the run has fewer."""
    with pytest.MonkeyPatch.context() as patch:
        moments = Moments(patch, kill_at)
        try:
            train(folder, *overrides)
        except Killed:
            return moments.names[-1]
    return None


def moments(folder: Path, *overrides: str) -> list[str]:
    """Run undisturbed; return the names of the moments at which it can be killed."""
    with pytest.MonkeyPatch.context() as patch:
        found = Moments(patch)
        train(folder, *overrides)
    return found.names


def rows(folder: Path) -> list[dict[str, str]]:
    """Return metrics.csv without times."""
    with (folder / "metrics.csv").open() as f:
        return [{k: v for k, v in r.items() if k not in TIMES} for r in csv.DictReader(f)]


def numbers(folder: Path) -> dict[str, Any]:
    """Return metrics.json; of times only whether they are there."""
    found = json.loads((folder / "metrics.json").read_text())
    return {k: k in found if k in TIMES else v for k, v in found.items()}


def weights(folder: Path, name: str = "best", part: str = "state_dict") -> dict[str, Any]:
    """Return the weights of a checkpoint."""
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)[part]


def assert_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    """The bits are equal, of zeros too."""
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name
        if value.is_floating_point():
            assert torch.equal(value.signbit(), b[name].signbit()), name


def assert_same_run(a: Path, b: Path) -> None:
    """Two runs have the same numbers and the same checkpoints."""
    assert rows(a) == rows(b)
    assert numbers(a) == numbers(b)
    for name in ("best", "last"):
        files = [f / "checkpoints" / f"{name}.ckpt" for f in (a, b)]
        assert files[0].exists() == files[1].exists()
        if files[0].exists():
            assert_equal(weights(a, name), weights(b, name))
    assert not list(b.glob("checkpoints/*.next")), "nothing waits when all is done"


def copied(folder: Path, target: Path) -> Path:
    """Copy a run, as another machine may get it."""
    shutil.copytree(folder, target)
    assert all(is_whole_archive(path) for path in target.glob("checkpoints/*.ckpt"))
    return target


def best_value(folder: Path, monitor: str = "val/nll", mode: Callable[..., float] = min) -> float:
    """Return the best value of metrics.csv."""
    values = [float(r[monitor]) for r in rows(folder) if r.get(monitor)]
    return mode(v for v in values if math.isfinite(v))
