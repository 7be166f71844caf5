"""The jobs of a sweep: each has a folder, says how it ended, and is done once.

outputs/sweeps/<name>/<job>/   a run directory with two more files
    status.json                whether the job is running, done, failed or interrupted; the
                               objective, or the reason
    output.txt                 what it printed, if it had a process of its own; of a failure the
                               traceback
"""

import hashlib
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from gdl.errors import GdlError
from gdl.runs import Run, quoted, read_json, unquoted, write_atomically

__all__ = ["JobFailed", "job_name", "report", "run_job", "with_folder"]

# not sys.argv[0], which in a launcher's worker is another
SCRIPT = Path(__file__).resolve().parent.parent / "train.py"

OWN_KEYS = ("sweep", "hydra", "resume")
"""Overrides that say how a sweep is carried out, and not what it computes, begin with these."""


class JobFailed(GdlError):
    """A job of a sweep ended without a result."""


def with_folder(args: list[str]) -> tuple[list[str], Path | None]:
    """Give a multirun the folder outputs/sweeps/<name>; the same overrides have the same name.

    Returns:
        The arguments, and the folder; None without --multirun.
    """
    if not {"-m", "--multirun"} & set(args):
        return args, None
    given = [a.partition("=")[2] for a in args if a.startswith("hydra.sweep.dir=")]
    if given:
        return args, Path(unquoted(given[-1]))
    named = [a.partition("=")[2] for a in args if a.startswith("sweep.name=")]
    what = sorted(a for a in args if "=" in a and not a.startswith(OWN_KEYS))
    method = [a for a in args if a.startswith("sweep=")]
    values = "_".join(a.partition("=")[2] for a in what) or "default"
    name = named[-1] if named else _short(values, " ".join([*what, *method]), hashed=True)
    folder = Path("outputs/sweeps", name)
    return [*args, f"hydra.sweep.dir={quoted(folder)}"], folder


def job_name(overrides: str) -> str:
    """Return the name of a job's folder from its overrides, "a=1,b=2"; it is theirs alone."""
    kept = [o for o in re.split(r",(?=[^,=]+=)", overrides) if not o.startswith(OWN_KEYS)]
    return _short(",".join(kept), ",".join(kept)) or "default"


def _short(text: str, identity: str, hashed: bool = False) -> str:
    """Return a text as a file name, with a hash if that alone could be another text's too."""
    name = re.sub(r"[^\w=,.+-]+", "_", text)[:100].strip("_.")
    if name == text and not hashed:
        return name
    return f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:6]}"


class Job:
    """One job: its folder and its status.json."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run, self._path = folder, Run(folder), folder / "status.json"
        self.output = folder / "output.txt"

    @property
    def status(self) -> dict[str, Any]:
        """Content of status.json; the state of a job whose process is gone is "interrupted"."""
        status = read_json(self._path)
        if status.get("state") == "running" and status.get("process") != _process(status["pid"]):
            status["state"] = "interrupted"
        return status

    def write(self, state: str, **facts: Any) -> None:
        """Write status.json."""
        facts = {"state": state, "time": time.strftime("%Y-%m-%d %H:%M:%S"), **facts}
        write_atomically(self._path, json.dumps(facts, indent=2) + "\n")

    def start(self, rerun: str) -> Path | None:
        """Say that the job is running; return the checkpoint that an interrupted one goes on from."""
        waits = False
        while (status := self.status).get("state") == "running":
            if not waits:
                print(f"{self.folder.name}: waits for process {status['pid']}, which runs it")
            waits = True
            time.sleep(1)
        if status.get("state") == "failed" or (status.get("state") == "done" and rerun == "all"):
            self.clear()
        self.write("running", pid=os.getpid(), process=_process(os.getpid()))
        return self.run.checkpoint("last") if self.run.has_checkpoint else None

    def clear(self) -> None:
        """Remove what a failed job, or one that is asked for again, has written."""
        for path in self.folder.iterdir():
            if path.name != ".hydra":
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _process(pid: int) -> str | None:
    """Return what a process is and no later one will be, if there is one with that number here."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # not Linux, or gone since
        return f"{socket.gethostname()} {pid}"
    # with when it was started, in ticks since the machine was: numbers of processes come again
    return f"{socket.gethostname()} {pid} {stat.rpartition(')')[2].split()[19]}"


def run_job(
    task: Callable[[DictConfig], Any],
    cfg: DictConfig,
    explain: Callable[[BaseException], str | None],
) -> float | None:
    """Leave out, resume or start one job of a sweep, and record how it ends.

    Args:
        task: Called with the configuration, returns the objective.
        cfg: Its `sweep.rerun` says which jobs that have ended are started over: failed, all or none.
        explain: Returns the sentence for an exception that bad input has caused.

    Raises:
        JobFailed: It failed, now or, with `sweep.rerun=none`, before.
    """
    if os.environ.get("SLURM_PROCID", "0") != "0":
        return task(cfg)  # one of the job's other processes; the first keeps the record
    rerun = cfg.sweep.rerun
    if rerun not in ("failed", "all", "none"):
        raise GdlError(f"sweep.rerun={rerun} is not known: use failed, all or none.")
    job = Job(Path(HydraConfig.get().runtime.output_dir))
    name, status = job.folder.name, job.status
    if status.get("state") == "done" and rerun != "all":
        print(f"{name}: was done before", flush=True)
        return status["value"]
    if status.get("state") == "failed" and rerun == "none":
        raise JobFailed(f"{name}: {status['reason']}")
    checkpoint = job.start(rerun)
    print(f"{name}: {'goes on' if checkpoint else 'starts'}", flush=True)
    os.environ["GDL_SWEEP"] = Path(HydraConfig.get().sweep.dir).name
    try:
        if _needs_process(cfg):
            value = _run_apart(job, checkpoint)
        else:
            with open_dict(cfg):
                cfg.resume = None if checkpoint is None else str(checkpoint)
            value = task(cfg)
        if value is not None and not math.isfinite(value):
            raise JobFailed(f"the objective is {value}")
    except (SystemExit, KeyboardInterrupt):
        job.write("interrupted")
        raise
    except Exception as e:
        reason = explain(e) or f"{type(e).__name__}: {(str(e).splitlines() or [''])[0]}"
        if not isinstance(e, JobFailed):
            job.output.write_text(traceback.format_exc())
        job.write("failed", reason=reason)
        print(f"{name}: failed: {reason}", file=sys.stderr, flush=True)
        raise JobFailed(f"{name}: {reason}") from None
    finally:
        _free_memory()
    job.write("done", value=value)
    return value


def _needs_process(cfg: DictConfig) -> bool:
    """Return whether a job has a process of its own.

    With several devices it must: Lightning starts the command line again for each of them. So does
    a launcher with worker processes: a kill then takes one job, and not the launcher's worker with
    all the jobs that wait for it.
    """
    if cfg.sweep.isolate != "auto":
        return bool(cfg.sweep.isolate)
    launcher = str(HydraConfig.get().launcher.get("_target_", ""))
    several = cfg.trainer.devices not in (1, "1") or "ddp" in str(cfg.trainer.get("strategy"))
    return "SLURM_JOB_ID" not in os.environ and (several or not launcher.endswith("BasicLauncher"))


def _run_apart(job: Job, checkpoint: Path | None) -> float | None:
    """Run a job as a command of its own and return its objective."""
    overrides = [o for o in HydraConfig.get().overrides.task if not o.startswith("resume=")]
    command = [sys.executable, str(SCRIPT), *overrides, f"hydra.run.dir={quoted(job.folder)}"]
    if checkpoint is not None:
        command.append(f"resume={quoted(checkpoint)}")
    parent = os.getppid()
    with job.output.open("a") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    before = signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
    try:
        while process.poll() is None:
            if os.getppid() != parent:
                sys.exit("the sweep is gone")
            time.sleep(0.05)
    finally:
        signal.signal(signal.SIGTERM, before)
        if process.poll() is None:
            process.terminate()  # it saves and ends
            process.wait()
    if process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT):
        sys.exit(process.returncode)
    if process.returncode != 0:
        raise JobFailed(_reason(process.returncode, job.output))
    best = [v for k, v in job.run.metrics().items() if k.startswith("best_")]
    return best[0] if best else None


def _reason(code: int, output: Path) -> str:
    """Return why a command failed: its signal, its sentence, or the last line of its traceback."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (", perhaps out of memory" if name == "SIGKILL" else "")
    lines = [line for line in output.read_text().splitlines() if line.strip()] or [
        f"exit code {code}"
    ]
    sentences = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return sentences[-1] if sentences else lines[-1]


def _free_memory() -> None:
    """Give back what a job of this process leaves on a GPU."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def report(folder: Path) -> int:
    """Print how the jobs of a sweep ended, with a table of those that failed; return their number."""
    jobs = [Job(path.parent) for path in sorted(folder.glob("*/status.json"))]
    states = [job.status for job in jobs]
    counts = [
        f"{n} {s}"
        for s in ("done", "failed", "interrupted", "running")
        if (n := sum(status["state"] == s for status in states))
    ]
    print(f"{folder}: {', '.join(counts) or 'no jobs'}")
    failed = [
        (j, s["reason"]) for j, s in zip(jobs, states, strict=True) if s["state"] == "failed"
    ]
    if failed:
        from rich.console import Console
        from rich.table import Table

        table = Table(title="failed", title_justify="left")
        for column in ("job", "reason"):
            table.add_column(column, overflow="fold")
        for job, reason in failed:
            table.add_row(job.folder.name, reason)
        Console().print(table)
        print("The same command runs them again; sweep.rerun=none leaves them out.")
    return len(failed)
