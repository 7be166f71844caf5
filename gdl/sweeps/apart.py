"""Jobs of a sweep that have a process of their own, and a launcher's workers, told to stop."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gdl.runs.directory import job_dirs
from gdl.stopping import ORDERLY, check
from gdl.sweeps.jobs import Job, JobFailed, JobStopped

__all__ = ["run_apart", "stop_workers"]


def run_apart(job: Job, args: list[str]) -> float | None:
    """Run a job in a process of its own, `python -m gdl train ARGS`; return its objective.

    The job's process ends with this one: it is told to save and stop.

    Raises:
        JobFailed: The process failed.
        JobStopped: The process was told to stop, and this one was not.
    """
    command = [sys.executable, "-m", "gdl", "train", *args]
    assert job.lock is not None
    parent = os.getppid()
    with job.run.output_txt.open("a") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "GDL_PARENT": str(os.getpid())},
            pass_fds=[job.lock.file] if os.name == "posix" else [],
        )
    try:
        while process.poll() is None:
            if os.getppid() != parent:
                sys.exit("the sweep is gone")
            time.sleep(0.05)
    finally:
        _end(process)
    check()
    if process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT):
        raise JobStopped(f"stopped by {signal.Signals(process.returncode - 128).name}")
    if process.returncode != 0:
        raise JobFailed(_reason(process.returncode, job.run.output_txt))
    best = [v for k, v in job.run.metrics().items() if k.startswith("best_")]
    return best[0] if best else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the process of a job save and end; a signal in the meantime ends it at once."""
    try:
        if process.poll() is None:
            process.send_signal(ORDERLY)
            process.wait()
    finally:
        process.kill()  # nothing happens where it has ended
        process.wait()


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


def stop_workers(folder: Path) -> None:
    """Tell the worker processes of a launcher to stop, and wait until their jobs are saved."""
    workers = {w.pid for w in multiprocessing.active_children()}
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or 0, ORDERLY)
    while any(
        s.get("pid") in workers and s["state"] == "running"
        for s in (Job(path).status for path in job_dirs(folder))
    ):
        time.sleep(0.1)
