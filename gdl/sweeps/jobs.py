"""The jobs of a sweep: each has a folder, records how it ended, and is done only once."""

import json
import math
import os
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

from gdl.errors import GdlError
from gdl.files import for_shell, read_json, write_atomically
from gdl.runs.directory import Run, job_dirs

__all__ = ["Job", "JobFailed", "report", "run_apart", "run_job"]


class JobFailed(GdlError):
    """A job of a sweep ended without a result."""


class Job:
    """One job of a sweep: its folder and its status.json."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, Run(folder)

    @property
    def status(self) -> dict[str, Any]:
        """Content of status.json; the state is "interrupted" if the process of the job is gone."""
        status = read_json(self.run.status_json)
        if status.get("state") == "running" and status.get("process") != _process(status["pid"]):
            status["state"] = "interrupted"
        return status

    def write(self, state: str, **facts: Any) -> None:
        """Write status.json."""
        facts = {"state": state, "time": time.strftime("%Y-%m-%d %H:%M:%S"), **facts}
        write_atomically(self.run.status_json, json.dumps(facts, indent=2) + "\n")

    def start(self, rerun: str) -> Path | None:
        """Mark the job as running; first wait while another process runs it.

        Args:
            rerun: See `run_job`.

        Returns:
            The checkpoint from which an interrupted job continues, else None.
        """
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
        """Remove everything that an earlier start of the job has written, except .hydra/."""
        for path in self.folder.iterdir():
            if path.name != ".hydra":
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _process(pid: int) -> str | None:
    """Return a text that identifies a process even after its pid is reused; None if it is gone.

    It is the host name, the pid and, on Linux, the time at which the process started.
    """
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
    # field 22 of the file is the start time, in clock ticks since boot
    return f"{socket.gethostname()} {pid} {stat.rpartition(')')[2].split()[19]}"


def run_job(
    job: Job,
    compute: Callable[[Path | None], float | None],
    rerun: str,
    explain: Callable[[BaseException], str | None],
) -> float | None:
    """Skip, resume or start one job of a sweep, and record how it ends.

    Args:
        job: The job.
        compute: Called with the checkpoint of an interrupted job, else None; returns the objective.
        rerun: Which ended jobs are started again: "failed", "all" or "none".
        explain: Returns one sentence for an exception that was caused by bad input, else None.

    Raises:
        JobFailed: The job failed, now or, with rerun="none", earlier.
        SystemExit: The process was told to stop; the job is recorded as interrupted.
        KeyboardInterrupt: As for SystemExit.
    """
    name, status = job.folder.name, job.status
    if status.get("state") == "done" and rerun != "all":
        print(f"{name}: was done before", flush=True)
        return status["value"]
    if status.get("state") == "failed" and rerun == "none":
        raise JobFailed(f"{name}: {status['reason']}")
    checkpoint = job.start(rerun)
    print(f"{name}: {'goes on' if checkpoint else 'starts'}", flush=True)
    try:
        value = compute(checkpoint)
        if value is not None and not math.isfinite(value):
            raise JobFailed(f"the objective is {value}")
    except (SystemExit, KeyboardInterrupt):
        job.write("interrupted")
        raise
    except Exception as e:
        reason = explain(e) or f"{type(e).__name__}: {(str(e).splitlines() or [''])[0]}"
        if not isinstance(e, JobFailed):
            job.run.output_txt.write_text(traceback.format_exc())
        job.write("failed", reason=reason)
        print(f"{name}: failed: {reason}", file=sys.stderr, flush=True)
        raise JobFailed(f"{name}: {reason}") from None
    finally:
        _free_memory()
    job.write("done", value=value)
    return value


def run_apart(job: Job, args: list[str]) -> float | None:
    """Run a job in a process of its own, `python -m gdl train ARGS`; return its objective.

    It exits as the process does, with SystemExit, where a signal has stopped the process.

    Raises:
        JobFailed: The process failed.
    """
    command = [sys.executable, "-m", "gdl", "train", *args]
    parent = os.getppid()
    with job.run.output_txt.open("a") as out:
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
        raise JobFailed(_reason(process.returncode, job.run.output_txt))
    best = [v for k, v in job.run.metrics().items() if k.startswith("best_")]
    return best[0] if best else None


def _reason(code: int, output: Path) -> str:
    """Return why a command failed: a signal, its error message, or the last line of its traceback."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (", perhaps out of memory" if name == "SIGKILL" else "")
    lines = [line for line in output.read_text().splitlines() if line.strip()] or [
        f"exit code {code}"
    ]
    sentences = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return sentences[-1] if sentences else lines[-1]


def _free_memory() -> None:
    """Free the GPU memory that a job in this process has used."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def report(folder: Path) -> int:
    """Print how many jobs of a sweep ended in which way, and a table of the failed ones.

    Returns:
        The number of failed jobs.
    """
    jobs = [Job(path) for path in job_dirs(folder)]
    states = [job.status for job in jobs]
    counts = [
        f"{n} {s}"
        for s in ("done", "failed", "interrupted", "running")
        if (n := sum(status["state"] == s for status in states))
    ]
    print(f"{for_shell(folder)}: {', '.join(counts) or 'no jobs'}")
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
