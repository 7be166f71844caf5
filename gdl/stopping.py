"""Signals: when a process that is told to stop does so, with which words and which exit code."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

__all__ = [
    "ORDERLY",
    "Interrupted",
    "before_stopping",
    "catch_signals",
    "check",
    "finish_step_first",
    "is_first_process",
    "noted",
    "stop",
    "stop_at_once",
    "told_to_stop",
]

ORDERLY = getattr(signal, "SIGUSR1", signal.SIGTERM)
"""What a process of gdl sends to those that it has started: save and stop. Unlike a second SIGTERM or
Ctrl-C, which mean at once, it may come before or after one of these: a terminal sends Ctrl-C to all."""

PATIENCE = 10.0
"""Seconds in which a process whose starter is gone is expected to end by itself."""


class Interrupted(SystemExit):
    """The exception that ends a process after a signal, with exit code 128 + the signal's number.

    Args:
        signum: The signal.
        saved: Whether all processes of the run have agreed to stop here, and saved it.
    """

    def __init__(self, signum: int, saved: bool = False) -> None:
        super().__init__(128 + signum)
        self.signum, self.saved = signum, saved
        self.sentence = f"stopped by {self}."
        """What is printed at the end."""

    def __str__(self) -> str:
        return signal.Signals(self.signum).name

    def __reduce__(self) -> tuple[type["Interrupted"], tuple[int, bool]]:
        return type(self), (self.signum, self.saved)  # it comes back from a launcher's worker


class _State:
    """What this process was told, and what it is doing."""

    def __init__(self) -> None:
        self.signum = 0  # the first signal; 0 for none
        self.orders = 0  # number of signals that were not ORDERLY
        self.step_first = self.leaving = self.caught = False
        self.before: Callable[[], None] | None = None
        self.handlers: dict[int, Any] = {}  # those that are put back after the training


_state = _State()


@contextmanager
def told_to_stop() -> Iterator[None]:
    """Run a command: a signal at any moment ends it with a sentence and 128 + the signal's number.

    Raises:
        Interrupted: There was a signal.
    """
    catch_signals()
    _follow_parent()
    try:
        yield
        check()  # raised where Python ignores exceptions, e.g. in a destructor
    except Interrupted as e:
        if is_first_process():
            print(e.sentence, file=sys.stderr, flush=True)
        raise
    finally:
        _state.leaving = True


def catch_signals() -> None:
    """Let SIGTERM and SIGINT raise `Interrupted` in the main thread from now on."""
    if threading.current_thread() is not threading.main_thread():
        return
    _state.caught = True
    for signum in (signal.SIGTERM, signal.SIGINT, ORDERLY):
        signal.signal(signum, _receive)


def finish_step_first() -> None:
    """From now on a signal is noted, for `noted`; a second one raises `Interrupted` at once.

    SIGUSR2 comes from submitit, whose handler queues the SLURM job again and ends the process.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if not _state.caught:
        _state.signum = _state.orders = (
            0  # an earlier training of this process, which is no command
        )
    for signum in (signal.SIGTERM, signal.SIGINT, ORDERLY, getattr(signal, "SIGUSR2", None)):
        handler = None if signum is None else signal.getsignal(signum)
        if handler == _receive or (
            signum == getattr(signal, "SIGUSR2", 0) and not callable(handler)
        ):
            continue
        if signum is not None:
            _state.handlers[signum] = handler
            signal.signal(signum, _receive)
    _state.step_first = True


def stop_at_once() -> None:
    """Undo `finish_step_first`."""
    _state.step_first = False
    while _state.handlers and threading.current_thread() is threading.main_thread():
        signal.signal(*_state.handlers.popitem())


def noted() -> int:
    """Return the first signal that this process got, 0 for none."""
    return _state.signum


def check() -> None:
    """Stop if there was a signal.

    Raises:
        Interrupted: There was one.
    """
    if _state.signum and not _state.step_first:
        raise Interrupted(_state.signum)


def stop(signum: int) -> NoReturn:
    """Stop after a signal that some process of the run has noted, when the run is saved.

    Raises:
        Interrupted: Always, unless the signal is submitit's, whose handler ends the process.
    """
    handler = _state.handlers.get(signum)
    stop_at_once()
    if signum == getattr(signal, "SIGUSR2", None) and callable(handler):
        handler(signum, None)
    raise Interrupted(signum, saved=True)


def before_stopping(action: Callable[[], None]) -> None:
    """Call an action after the first signal, before `Interrupted` is raised."""
    _state.before = action


def is_first_process() -> bool:
    """Return whether this process is the one that speaks for a run with several processes."""
    return os.environ.get("LOCAL_RANK", "0") == os.environ.get("SLURM_PROCID", "0") == "0"


def _receive(signum: int, frame: FrameType | None) -> None:
    wanted = signal.SIGTERM if signum == ORDERLY else signum
    is_first, _state.signum = not _state.signum, _state.signum or wanted
    _state.orders += signum != ORDERLY
    if _state.leaving:  # all is written; an exception would be ignored here
        if is_first and is_first_process():
            _say(f"stopped by {signal.Signals(wanted).name}, when all was done.\n")
        os._exit(128 + wanted)
    if not is_first:
        if signum != ORDERLY and _state.orders > 1:
            raise Interrupted(wanted)
        return
    if _state.step_first:
        if is_first_process():
            _say("\nstopping after this step; again to stop at once\n")
        return
    if _state.before is not None:
        _state.before()
    raise Interrupted(wanted)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        os.write(2, text.encode())  # print may be what the signal has interrupted


def _follow_parent() -> None:
    """Stop when the process of gdl that has started this one, and says so in GDL_PARENT, is gone."""
    parent = int(os.environ.pop("GDL_PARENT", "") or 0)
    if parent and (os.getppid() == parent or not _exists(parent)):
        threading.Thread(target=_stop_without, args=[parent], daemon=True).start()


def _stop_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    if is_first_process():  # the job of a sweep: it can save
        signal.pthread_kill(threading.main_thread().ident or 0, ORDERLY)
    else:  # it hears of the loss in its next communication, if it does not hang there
        time.sleep(PATIENCE)
        _say("error: The first process of the run is gone.\n")
        os._exit(1)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
