"""The jobs of a sweep: each has a folder, records how it ended, and is done only once."""

import math
import os
import shutil
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gdl.errors import GdlError
from gdl.files import for_shell, read_json, write_json
from gdl.runs import lock
from gdl.runs.directory import Run, job_dirs
from gdl.stopping import check

__all__ = ["Job", "JobFailed", "JobStopped", "report", "run_job"]


class JobFailed(GdlError):
    """A job of a sweep ended without a result."""


class JobStopped(JobFailed):
    """A job of a sweep was told to stop, by a signal to its own process."""


class Job:
    """One job of a sweep: its folder and its status.json."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, Run(folder)
        self.lock: lock.RunLock | None = None
        """Held while the job is run."""

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
        write_json(self.run.status_json, facts)

    def start(self, rerun: str) -> Path | None:
        """Mark the job as running.

        Args:
            rerun: See `run_job`.

        Returns:
            The checkpoint from which an interrupted job continues, else None.
        """
        state = self.status.get("state")
        if state == "failed" or (state == "done" and rerun == "all"):
            self.clear()
        self.write("running", pid=os.getpid(), process=_process(os.getpid()))
        return self.run.checkpoint("last") if self.run.has_checkpoint else None

    def waits(self, pid: int) -> None:
        """Say that this process waits for another one."""
        print(f"{self.folder.name}: waits for process {pid}, which runs it", flush=True)

    def clear(self) -> None:
        """Remove everything that an earlier start of the job has written, except .hydra/."""
        for path in self.folder.iterdir():
            if path.name not in (".hydra", lock.NAME):
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

    A job that another process runs is waited for, and is not started again when it has ended.

    Args:
        job: The job.
        compute: Called with the checkpoint of an interrupted job, else None; returns the objective.
        rerun: Which ended jobs are started again: "failed", "all" or "none".
        explain: Returns one sentence for an exception that was caused by bad input, else None.

    Raises:
        JobFailed: The job failed, now or, with rerun="none", earlier.
        JobStopped: The job's own process was told to stop; the job is recorded as interrupted.
        SystemExit: This process was told to stop; the job is recorded as interrupted.
        KeyboardInterrupt: As for SystemExit.
    """
    check()
    job.lock = lock.RunLock(job.folder)
    try:
        has_waited = job.lock.wait(job.waits)
        return _run_locked(job, compute, "none" if has_waited else rerun, explain)
    finally:
        job.lock.release()


def _run_locked(
    job: Job,
    compute: Callable[[Path | None], float | None],
    rerun: str,
    explain: Callable[[BaseException], str | None],
) -> float | None:
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
    except JobStopped as e:
        job.write("interrupted")
        print(f"{name}: {e}", file=sys.stderr, flush=True)
        raise JobStopped(f"{name}: {e}; the same command goes on with it.") from None
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
        Console(markup=False, emoji=False).print(table)
        print("The same command runs them again; sweep.rerun=none leaves them out.")
    return len(failed)
