"""Two processes train one model: same start from data, same steps left out, same end."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader

from gdl.families.base import GenerativeModel
from gdl.models.glow import Glow

ROOT = Path(__file__).resolve().parent.parent
IMAGES = torch.randint(0, 17, (64, 1, 8, 8), dtype=torch.uint8)


class Harmed(Glow):
    """A Glow that each process starts from other data, and whose second process fails at a step."""

    def setup(self, stage: str) -> None:
        torch.manual_seed(self.global_rank)
        self.initialize(IMAGES[32 * self.global_rank :][:32])

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        terms = super().loss(x)
        if self.training and self.global_rank == 1 and self.global_step == 2:
            terms["loss"] = terms["loss"] + math.inf  # without a trace in the gradients
        return terms


class Witness(Callback):
    """Writes each process's parameters and count."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.write("start", trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.write("end", trainer, pl_module)

    def write(self, when: str, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        assert isinstance(model, GenerativeModel)
        state = model.state_dict() | {"skipped": torch.tensor(model.skipped_steps)}
        torch.save(state, f"{self.folder}/{when}{trainer.global_rank}.pt")


def assert_equal(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Check that both processes agree; return what they agree on, at start and end."""
    found = {}
    for when in ("start", "end"):
        first, second = (torch.load(folder / f"{when}{rank}.pt") for rank in (0, 1))
        for key in first:
            assert torch.equal(first[key], second[key]), (when, key)
        found[when] = first
    return found


def test_processes_start_alike_and_leave_out_the_same_steps(tmp_path: Path) -> None:
    model = Harmed((1, 8, 8), 17, depth=2, width=8)
    model.train_with(lambda p: torch.optim.Adamax(p, 1e-3))
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp_fork",
        max_epochs=1,
        callbacks=[Witness(str(tmp_path))],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(model, DataLoader(list(IMAGES), batch_size=8))
    found = assert_equal(tmp_path)
    norms = [k for k in found["start"] if k.endswith("norm_log_scale")]
    assert norms
    for key in norms:
        assert found["start"][key].abs().max() > 0, "set from data"
        assert not torch.equal(found["start"][key], found["end"][key]), "trained"
    assert found["end"]["skipped"] == 1


@pytest.mark.slow
def test_train_py_in_two_processes(tmp_path: Path) -> None:
    options = ["model=glow_tiny", "model.depth=2", "model.width=16", "data=digits", "logger=none"]
    options += ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    options += ["trainer.max_epochs=1", "callbacks.images.every_n_epochs=0"]
    options += ["+callbacks.witness._target_=test_processes.Witness"]
    options += [f"+callbacks.witness.folder={tmp_path}", f"hydra.run.dir={tmp_path}/run"]
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert_equal(tmp_path)


@pytest.mark.slow
def test_two_processes_stop_together_and_go_on(tmp_path: Path) -> None:
    options = ["model=glow_tiny", "data=digits", "data.batch_size=16", "logger=csv"]
    options += ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    options += ["trainer.max_epochs=3", "trainer.log_every_n_steps=5"]
    options += ["callbacks.images.every_n_epochs=0"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(*args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "train.py", *args], cwd=ROOT, env=env)

    assert start(*options, f"hydra.run.dir={tmp_path}/calm").wait() == 0
    stopped = start(*options, f"hydra.run.dir={tmp_path}/stopped")
    csv = tmp_path / "stopped" / "metrics.csv"
    while not csv.exists() or len(csv.read_text().splitlines()) < 12:
        assert stopped.poll() is None
        time.sleep(0.05)
    stopped.send_signal(signal.SIGTERM)  # the first process alone has it
    assert stopped.wait() == 128 + signal.SIGTERM
    assert start(f"resume={tmp_path}/stopped").wait() == 0
    calm, other = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("calm", "stopped")
    )
    assert all(torch.equal(calm[k], other[k]) for k in calm)
