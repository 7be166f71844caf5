"""The processes of a run on several devices end together, and the first says why."""

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import lightning.pytorch as pl
from lightning.pytorch.strategies.launchers import subprocess_script

from gdl.errors import GdlError
from gdl.runs.directory import Run
from gdl.stopping import Interrupted, is_first_process

__all__ = ["end_together", "ended_together"]

PATIENCE = 15.0
"""Seconds in which processes that have lost another one are expected to end by themselves."""

ERRORS = ("DistBackendError", "DistNetworkError", "DistStoreError", "ProcessExitedException")
"""Exceptions of torch.distributed and torch.multiprocessing that another process has caused."""

WORDS = ("gloo", "Connection closed by peer", "Connection reset by peer", "Broken pipe")
"""What the message of a RuntimeError of torch's communication holds."""

STOPPED = (128 + signal.SIGTERM, 128 + signal.SIGINT)


def end_together(trainer: pl.Trainer) -> None:
    """Let a trainer that starts further processes watch them as gdl does.

    Lightning's observer kills the first process, without a word, up to five seconds after another
    one has failed. Its signal handlers communicate with the others within the handler.
    """
    connector = trainer._signal_connector  # pyright: ignore[reportAttributeAccessIssue]
    connector.register_signal_handlers = lambda: None
    run = Run(trainer.default_root_dir)
    subprocess_script._launch_process_observer = functools.partial(_watch, run=run)
    os.environ["GDL_PARENT"] = str(os.getpid())  # for the processes that Lightning starts


@contextmanager
def ended_together(trainer: pl.Trainer) -> Iterator[None]:
    """Train: if it fails in this process, end the other ones; if another one failed, say so.

    Raises:
        GdlError: Another process of the run is gone.
        SystemExit: It is the first one that is still there, and that says so.
    """
    parent = os.getppid()
    try:
        yield
    except BaseException as e:
        lost = isinstance(e, Exception) and _is_loss(e)
        others = _others(trainer)
        saved = isinstance(e, Interrupted) and e.saved
        codes = _end(others, patience=PATIENCE if saved else 1.0 if lost else 0.0)
        if not lost:
            raise
        if not is_first_process() and not _is_gone(parent):
            sys.exit(1)
        raise GdlError(_sentence(codes, Run(trainer.default_root_dir))) from e


def _is_gone(parent: int) -> bool:
    """Return whether the process that has started this one is gone; it closes its files before."""
    deadline = time.monotonic() + 2
    while os.getppid() == parent and time.monotonic() < deadline:
        time.sleep(0.05)
    return os.getppid() != parent


def _is_loss(error: BaseException | None) -> bool:
    while error is not None:
        if type(error).__name__ in ERRORS:
            return True
        if isinstance(error, RuntimeError) and any(word in str(error) for word in WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _others(trainer: pl.Trainer) -> list[subprocess.Popen[bytes]]:
    """Return the processes that this one has started for the run."""
    started = getattr(trainer.strategy.launcher, "procs", [])
    return [p for p in started if isinstance(p, subprocess.Popen)]


def _end(others: Sequence[subprocess.Popen[bytes]], patience: float) -> list[int | None]:
    """End processes; return the exit codes of those that had ended, None for those that had not."""
    deadline = time.monotonic() + patience
    while any(p.poll() is None for p in others) and time.monotonic() < deadline:
        time.sleep(0.05)
    codes = [p.returncode for p in others]
    for send in (subprocess.Popen.terminate, subprocess.Popen.kill):
        for process in others:
            send(process)  # nothing happens where it has ended
        deadline = time.monotonic() + 5
        while any(p.poll() is None for p in others) and time.monotonic() < deadline:
            time.sleep(0.05)
    return codes


def _sentence(codes: Sequence[int | None], run: Run) -> str:
    """Return what is known of the processes after the first, from their exit codes."""
    how = "goes on from its last checkpoint" if run.has_checkpoint else "starts it over"
    advice = f"resume={run.path} {how}"
    if not is_first_process():
        return f"The first process of the run is gone; {advice}."
    for rank, code in enumerate(codes, start=1):
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            why = f"{name}, perhaps out of memory" if name == "SIGKILL" else name
            return f"Process {rank} of the run was killed by {why}; {advice}."
        if code in STOPPED:
            return f"Process {rank} of the run was told to stop; {advice}."
        if code:
            return f"Process {rank} of the run has failed, see its message; {advice}."
    return f"Another process of the run is gone; {advice}."


def _watch(others: Sequence[subprocess.Popen[bytes]], run: Run) -> None:
    threading.Thread(target=_end_where_one_is_lost, args=[others, run], daemon=True).start()


def _end_where_one_is_lost(others: Sequence[subprocess.Popen[bytes]], run: Run) -> None:
    """End the run if one process failed and the first hangs in a communication with it."""
    while not any(p.poll() for p in others):
        if all(p.returncode == 0 for p in others):
            return
        time.sleep(0.2)
    stopped = any(p.returncode in STOPPED for p in others)
    time.sleep(4 * PATIENCE if stopped else PATIENCE)  # the first may be closing its loggers
    if threading.main_thread().is_alive():
        codes = _end(others, patience=0.0)
        print(f"error: {_sentence(codes, run)}", file=sys.stderr, flush=True)
        os._exit(1)
