"""A sweep that is told to stop says truthfully which jobs are done, and leaves no processes."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from left_processes import processes

from gdl.sweeps.jobs import Job

ROOT = Path(__file__).resolve().parent.parent
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
LONG = ["model=fvsbn", "data=digits", "data.batch_size=8", "logger=csv", "trainer.max_epochs=100"]
LONG += ["callbacks.images.every_n_epochs=0", "seed=0,1,2", "trainer.log_every_n_steps=5"]
LAUNCHERS = {"basic": [], "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]}


def start(folder: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "train.py", "-m", *LONG, *args, f"hydra.sweep.dir={folder}"],
        cwd=ROOT,
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a terminal sends Ctrl-C to the whole group
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def states(folder: Path) -> Counter[str]:
    return Counter(Job(p.parent).status["state"] for p in folder.glob("*/status.json"))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("to", ["first", "group"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_sweep_is_told(launcher: str, to: str, signum: int, tmp_path: Path) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    folder = tmp_path / "sweep"
    process = start(folder, *LAUNCHERS[launcher])
    running = 1 if launcher == "basic" else 2
    csv = lambda: [p.read_text() for p in folder.glob("*/metrics.csv")]  # noqa: E731
    wait_for(lambda: sum(t.count("\n") > 2 for t in csv()) == running, process)
    (os.kill if to == "first" else os.killpg)(process.pid, signum)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signum, output
    assert "Traceback" not in output
    assert states(folder) == {"interrupted": running}
    assert f"{folder}: {running} interrupted\n" in output
    assert f"stopped by {signal.Signals(signum).name}; the same command goes on" in output
    assert len(list(folder.glob("*/checkpoints/last.ckpt"))) == running, output
    assert not processes(folder)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_sweep_is_told_twice(launcher: str, tmp_path: Path) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    folder = tmp_path / "sweep"
    process = start(folder, *LAUNCHERS[launcher])
    wait_for(lambda: any(folder.glob("*/metrics.csv")), process)
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.02)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert states(folder).keys() == {"interrupted"}
    deadline = time.monotonic() + 10
    while left := processes(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
