"""Sweeps: names, what is done once, what is told of failures, and each engine with real jobs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import forked
import pytest

from gdl.commands.multirun import with_folder
from gdl.sweeps.jobs import Job
from gdl.sweeps.names import job_name

ROOT = Path(__file__).resolve().parent.parent
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
QUICK = ["data=digits", "logger=csv", "trainer.max_epochs=1", "callbacks.images.every_n_epochs=0"]


def sweep(folder: Path, *args: str, code: int = 0, **env: str) -> str:
    every = ["-m", *QUICK, *args, f"hydra.sweep.dir={folder}"]
    done = forked.gdl("train", *every, cwd=ROOT, **env)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def jobs(folder: Path) -> dict[str, dict[str, Any]]:
    return {p.parent.name: Job(p.parent).status for p in folder.glob("*/status.json")}


def test_the_same_sweep_has_the_same_folder() -> None:
    one = ["-m", "model=vae,nice", "data=digits", "hydra/launcher=joblib"]
    two = ["--multirun", "data=digits", "model=vae,nice", "sweep.rerun=all"]
    assert with_folder(one)[1] == with_folder(two)[1]
    assert with_folder([*one, "seed=1"])[1] != with_folder(one)[1]
    assert with_folder([*one, "sweep=optuna"])[1] != with_folder(one)[1]
    assert with_folder([*one, "sweep.name=mine"])[1] == Path("outputs/sweeps/mine")
    assert with_folder(["model=vae"]) == (["model=vae"], None)


def test_a_job_counts_as_running_only_while_the_process_that_started_it_lives(
    tmp_path: Path,
) -> None:
    job = Job(tmp_path)
    assert job.start("failed") is None
    assert job.status["state"] == "running"
    status = json.loads((tmp_path / "status.json").read_text())
    for key, other in (("process", status["process"] + "0"), ("pid", 2**22 + 1)):
        (tmp_path / "status.json").write_text(json.dumps(status | {key: other}))
        assert job.status["state"] == "interrupted"


def test_jobs_that_fail_are_told_of_and_the_others_are_done_once(tmp_path: Path) -> None:
    args = ["model=fvsbn", "data.batch_size=64,0,128"]
    output = sweep(tmp_path, *args, code=1)
    assert "2 done, 1 failed" in output
    assert "data.batch_size=0 does not fit" in " ".join(output.split())
    found = jobs(tmp_path)
    (failed,) = (n for n, s in found.items() if s["state"] == "failed")
    assert "batch_size-0" in failed
    assert "Traceback" in (tmp_path / failed / "output.txt").read_text()
    for name, status in found.items():
        lines = (tmp_path / name / "train.log").read_text().splitlines()
        assert lines[0] == f"{name}: starts", "its own lines, and only those"
        assert sum(": starts" in line for line in lines) == 1
        if name == failed:
            assert lines[-1] == f"{name}: failed: {status['reason']}"
        else:
            metrics = json.loads((tmp_path / name / "metrics.json").read_text())
            assert status["value"] == metrics["best_val/nll"]
    output = sweep(tmp_path, *args, "sweep.rerun=none", code=1)
    assert "3 of 3 jobs have ended before" in output
    assert jobs(tmp_path) == found


def test_a_thousand_jobs_that_were_done_are_passed_over_at_once(tmp_path: Path) -> None:
    args = ["model=fvsbn", "trainer=debug"]
    done = json.dumps({"state": "done", "time": "2026-01-01 00:00:00", "value": 1.0})
    for seed in range(1000):
        folder = tmp_path / job_name(",".join(sorted([*QUICK, *args, f"seed={seed}"])))
        folder.mkdir()
        (folder / "status.json").write_text(done)
    start = time.monotonic()
    output = sweep(tmp_path, *args, "seed=range(1001)")
    assert time.monotonic() - start < 10, "with the last job, which is not done yet"
    assert "1000 of 1001 jobs have ended before" in output
    assert "1001 done" in output


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    args = ["model=fvsbn", "seed=0,1", "trainer.max_epochs=4", "data.batch_size=8"]
    command = [sys.executable, "train.py", "-m", *QUICK, *args, f"hydra.sweep.dir={tmp_path}"]
    process = subprocess.Popen(command, cwd=ROOT, env=ENV)
    deadline = time.monotonic() + 200
    while not any(tmp_path.glob("*seed-1*/checkpoints/last.ckpt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (second,) = tmp_path.glob("*seed-1*")
    assert Job(second).status["state"] == "interrupted"
    output = sweep(tmp_path, *args)
    assert re.search(r"seed-0", output)
    assert f"{second.name}: goes on" in output
    assert {s["state"] for s in jobs(tmp_path).values()} == {"done"}
    assert len(json.loads((second / "run.json").read_text())["commands"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_an_engine_runs_three_jobs_and_survives_one(launcher: str, tmp_path: Path) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    options = ["trainer=debug", f"hydra/launcher={launcher}"]
    args = ["model=fvsbn", "data.batch_size=64,0,128", *options]
    output = sweep(tmp_path, *args, code=1)
    assert "2 done, 1 failed" in output
    (failed,) = (s for s in jobs(tmp_path).values() if s["state"] == "failed")
    assert "must be 1 or more" in failed["reason"]


def test_slurm_gets_the_job_that_was_configured(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        (programs / name).write_text("#!/bin/sh\nexit 1\n")
        (programs / name).chmod(0o755)
    folder = tmp_path / "sweep"
    options = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu"]
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    sweep(folder, "model=fvsbn", "seed=0,1,2", *options, code=1, PATH=path)
    (script,) = folder.rglob(".submission_file*.sh")
    text = script.read_text()
    wanted = ["partition=gpu", "array=0-2%3", "requeue", "open-mode=append", "signal=USR2@120"]
    for option in (*wanted, "ntasks-per-node=1", "gpus-per-node=1", "time=720"):
        assert f"#SBATCH --{option}\n" in text, text


@pytest.mark.slow
def test_a_search_goes_on_within_its_budget(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    args = ["model=fvsbn", "sweep=optuna", "trainer=debug"]
    sweep(tmp_path, *args, "sweep.trials=2")
    storage = f"sqlite:///{tmp_path}/study.db"
    study = optuna.load_study(study_name="gdl", storage=storage)
    cut_off = study.ask()
    lr = cut_off._suggest(
        "model.optimizer.lr", optuna.distributions.LogUniformDistribution(1e-4, 1e-2)
    )
    cut_off._suggest(
        "model.order",
        optuna.distributions.CategoricalDistribution(("raster", "columns", "hilbert")),
    )
    output = sweep(tmp_path, *args, "sweep.trials=3")
    assert f"model.optimizer.lr={lr}" in output, "it was tried first"
    trials = optuna.load_study(study_name="gdl", storage=storage).trials
    complete = [t for t in trials if t.state.name == "COMPLETE"]
    assert len(complete) == 3
    assert len({t.params["model.optimizer.lr"] for t in complete}) == 3
    values = sorted(s["value"] for s in jobs(tmp_path).values())
    assert sorted(t.value for t in complete) == values
