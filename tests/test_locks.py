"""One process writes in a run directory: the second is told so, and a crash leaves no lock."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gdl.errors import GdlError
from gdl.runs import lock
from gdl.runs.lock import RunLock, hold
from gdl.sweeps.apart import run_apart
from gdl.sweeps.jobs import Job, JobFailed, run_job

ROOT = Path(__file__).resolve().parent.parent
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
pytestmark = pytest.mark.skipif(lock.fcntl is None, reason="Windows has no such locks")

HOLD = "from gdl.runs.lock import hold; hold(folder)"
JOB = """
from gdl.sweeps.jobs import Job, run_job
def compute(checkpoint):
    print("held", flush=True)
    sys.stdin.readline()
    {end}
try:
    run_job(Job(folder), compute, "failed", lambda e: str(e))
except BaseException as e:
    print(repr(e))
"""


@contextmanager
def other_process(code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run code in a process that prints "held" and then waits for a line."""
    start = f"import sys; from pathlib import Path; folder = Path({str(folder)!r})\n{code}\n"
    wait = "print('held', flush=True); sys.stdin.readline()"
    process = subprocess.Popen(
        [sys.executable, "-c", start + ("" if "compute" in code else wait)],
        env=ENV,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        while (line := process.stdout.readline()) != "held\n":
            assert line, "the process has ended"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory as far as resume= looks at it."""
    folder = tmp_path / "run"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("- model=fvsbn\n- logger=none\n")
    (folder / "run.json").write_text("{}")
    return folder


def test_a_lock_has_one_holder_and_ends_with_its_process(tmp_path: Path) -> None:
    with other_process(HOLD, tmp_path) as process:
        assert not RunLock(tmp_path).acquire()
        with pytest.raises(GdlError, match=f"belongs to process {process.pid}, which is writing"):
            hold(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        hold(tmp_path)
        hold(tmp_path)  # this process has it already
        assert RunLock(tmp_path).holder[0] == os.getpid()


@pytest.mark.parametrize("argument", ["resume=", "hydra.run.dir="])
def test_a_second_process_is_told_and_changes_nothing(argument: str, run: Path) -> None:
    with other_process(HOLD, run) as process:
        before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
        done = subprocess.run(
            [sys.executable, "train.py", f"{argument}{run}"],
            cwd=ROOT,
            env=ENV,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        (sentence,) = done.stderr.splitlines()
        assert sentence.startswith(f"error: {run} belongs to process {process.pid}, ")
        assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def not_again(checkpoint: Path | None) -> float:
    raise AssertionError("computed twice")


class Told(Job):
    """A job that lets the process that runs it go on as soon as this one waits for it."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        super().__init__(folder)
        self.process = process

    def waits(self, pid: int) -> None:
        assert pid == self.process.pid
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@pytest.mark.parametrize("rerun", ["failed", "all", "none"])
def test_a_job_that_was_waited_for_is_not_done_again(rerun: str, tmp_path: Path) -> None:
    with other_process(JOB.format(end="return 2.5"), tmp_path) as process:
        assert run_job(Told(tmp_path, process), not_again, rerun, str) == 2.5
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "done"


def test_a_job_that_failed_while_it_was_waited_for_is_not_tried_again(tmp_path: Path) -> None:
    code = JOB.format(end="raise ValueError('bad')")
    with other_process(code, tmp_path) as process, pytest.raises(JobFailed, match="bad"):
        run_job(Told(tmp_path, process), not_again, "failed", str)


def test_a_job_whose_process_was_killed_meanwhile_goes_on_here(tmp_path: Path) -> None:
    class Killed(Told):
        def waits(self, pid: int) -> None:
            self.process.kill()

    with other_process(JOB.format(end=""), tmp_path) as process:
        assert run_job(Killed(tmp_path, process), lambda checkpoint: 1.5, "failed", str) == 1.5


def test_where_locks_are_not_known_a_run_goes_on_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="No locks available"):
        hold(tmp_path)


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="the files of a process are in /proc"
)
def test_the_process_of_a_job_keeps_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nls -l /proc/$$/fd > {tmp_path}/files\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    job = Job(tmp_path)
    job.lock = RunLock(tmp_path)
    assert job.lock.acquire()
    run_apart(job, [])
    assert f"{tmp_path}/{lock.NAME}" in (tmp_path / "files").read_text()


def test_a_job_that_is_started_over_keeps_its_lock(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("old")
    guard = RunLock(tmp_path)
    assert guard.acquire()
    Job(tmp_path).clear()
    assert [p.name for p in tmp_path.iterdir()] == [lock.NAME]
    guard.release()
