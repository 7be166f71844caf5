"""What is tested, opened and kept is the best validation, of runs that get worse while they train."""

import csv
import json
from pathlib import Path

import forked
import pytest
import torch

import gdl

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = [
    *("data=digits", "data.batch_size=256", "model=made", "model.hidden=[8]", "logger=csv"),
    *("trainer=cpu", "callbacks.images.every_n_epochs=0", "model.optimizer.lr=0.02"),
]
CLIMB = "+model.optimizer.maximize=true"
"""Each validation is worse than the one before."""
SETTINGS = [
    # it ends between two validations, where the last weights are looked at, too
    pytest.param((CLIMB, "trainer.max_steps=15"), id="worse, with a rest"),
    pytest.param((CLIMB, "trainer.max_epochs=3"), id="worse", marks=pytest.mark.slow),
    pytest.param(("trainer.max_steps=15",), id="better, with a rest", marks=pytest.mark.slow),
]


def train(folder: Path, *options: str) -> None:
    done = forked.gdl("train", *OPTIONS, *options, f"hydra.run.dir={folder}", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_best_validation_is_tested_opened_and_kept(
    settings: tuple[str, ...], tmp_path: Path
) -> None:
    train(tmp_path, *settings)
    with (tmp_path / "metrics.csv").open() as f:
        rows = list(csv.DictReader(f))
    values = [float(row["val/nll"]) for row in rows if row.get("val/nll")]
    assert len(values) >= 3
    best, last = min(values), values[-1]
    assert (best == last) == (CLIMB not in settings)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["best_val/nll"] == pytest.approx(best, rel=1e-6)

    data = gdl.load_data(str(tmp_path))
    opened = gdl.load(str(tmp_path), device="cpu")
    last_weights = gdl.load(str(tmp_path / "checkpoints" / "last.ckpt"), device="cpu")
    with torch.no_grad():
        scores = {
            split: [float(m.nll(data.images(split)).mean()) for m in (opened, last_weights)]
            for split in ("val", "test")
        }
    assert scores["val"][0] == pytest.approx(best, rel=1e-5)
    assert metrics["test/nll"] == pytest.approx(scores["test"][0], rel=1e-5)
    if CLIMB in settings:
        assert scores["val"][1] > best + 0.1
        assert abs(metrics["test/nll"] - scores["test"][1]) > 0.1, "the last weights were tested"
