"""A sweep of six runs is killed twenty times and told to stop ten times, at random moments."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from left_processes import processes

from gdl.files import is_whole_archive
from gdl.sweeps.jobs import Job

ROOT = Path(__file__).resolve().parent.parent.parent
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
SWEEP = ["model=fvsbn,vae,glow_tiny", "seed=0,1", "data=digits", "data.batch_size=64"]
SWEEP += [
    "trainer.max_epochs=40",
    "trainer.log_every_n_steps=5",
    "callbacks.images.every_n_epochs=0",
    "checkpoint_every=0.01",
]


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "train.py", "-m", *SWEEP, f"hydra.sweep.dir={folder}"]
    with (folder.parent / "output.txt").open("ab") as out:
        return subprocess.Popen(command, cwd=ROOT, env=ENV, stdout=out, stderr=out)


def wait_for_a_step(process: subprocess.Popen[bytes], folder: Path, chance: random.Random) -> None:
    """Wait for a moment of the start-up, or more often for one after a new row of metrics.csv."""
    if chance.random() < 0.2:
        time.sleep(chance.uniform(0.5, 8))
        return
    started = time.time()
    while process.poll() is None:
        if any(p.stat().st_mtime > started for p in folder.glob("*/metrics.csv")):
            time.sleep(chance.uniform(0, 3))
            return
        time.sleep(0.02)


def assert_left_alone(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while left := processes(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def weights(job: Path) -> dict[str, torch.Tensor]:
    return torch.load(job / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.slow
def test_a_sweep_survives_thirty_interruptions(tmp_path: Path) -> None:
    calm, harmed = tmp_path / "calm" / "sweep", tmp_path / "harmed" / "sweep"
    for folder in (calm, harmed):
        folder.parent.mkdir()
    assert start(calm).wait() == 0
    chance = random.Random(0)
    signals = 20 * [signal.SIGKILL] + 10 * [signal.SIGTERM]
    chance.shuffle(signals)
    delivered = []
    for signum in signals:
        process = start(harmed)
        wait_for_a_step(process, harmed, chance)
        if process.poll() is None:
            process.send_signal(signum)
            delivered.append(signum)
        code = process.wait()
        assert code in (0, -signum, 128 + signum), (harmed.parent / "output.txt").read_text()[
            -3000:
        ]
        assert_left_alone(harmed)
        for path in harmed.glob("*/*.json"):
            json.loads(path.read_text())
        assert all(is_whole_archive(path) for path in harmed.glob("*/checkpoints/*.ckpt"))
    assert start(harmed).wait() == 0
    assert_left_alone(harmed)
    jobs = sorted(path.name for path in calm.iterdir() if path.is_dir())
    assert len(jobs) == 6
    starts = 0
    for name in jobs:
        assert Job(harmed / name).status["state"] == "done"
        a, b = weights(calm / name), weights(harmed / name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k], b[k]) for k in a), name
        one, two = (json.loads((f / name / "metrics.json").read_text()) for f in (calm, harmed))
        assert one["test/nll"] == two["test/nll"]
        record = json.loads((harmed / name / "run.json").read_text())
        starts += len(record["commands"])
        logs = {p.stem for p in (harmed / name).glob("wandb/offline-run-*/run-*.wandb")}
        assert logs == {f"run-{record['wandb_id']}"}, "one W&B run for each job"
    print(
        f"{len(delivered)} signals, {delivered.count(signal.SIGKILL)} of them SIGKILL; {starts} starts"
    )
    assert len(delivered) == len(signals), "some came after the end: the runs are too short"
