"""A lock on a run directory, so that only one process writes there; a crash releases it.

It is `flock` on the file run.lock. Network file systems pass it on to other machines or refuse it,
which is said in a warning; on Windows there is none.
"""

import os
import socket
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from gdl.errors import GdlError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["NAME", "RunLock", "hold"]

NAME = "run.lock"


class RunLock:
    """The lock of one run directory.

    Args:
        folder: The directory; created if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        self._locked = False

    @property
    def file(self) -> int:
        """The open file, which a process that is started may keep open: the lock lasts as long."""
        return self._file

    @property
    def holder(self) -> tuple[int, str]:
        """The pid and the host of the process that has locked last; 0 and "" for none."""
        try:
            pid, host = self.path.read_text().split()
            return int(pid), host
        except (OSError, ValueError):
            return 0, ""

    def acquire(self) -> bool:
        """Lock and return True, or return False where another process has locked.

        A lock that another part of this process has, or the process that has started it, is good
        enough.
        """
        if self._locked or fcntl is None:
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            own = [(pid, socket.gethostname()) for pid in (os.getpid(), os.getppid())]
            return self.holder in own
        except OSError as e:
            warnings.warn(
                f"{self.path.parent} cannot be locked ({e.strerror}): start no second process there.",
                stacklevel=2,
            )
            return True
        self._locked = True
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
        return True

    def wait(self, waiting: Callable[[int], None]) -> bool:
        """Lock as soon as no other process does; return whether that took time.

        Args:
            waiting: Called once, with the pid of the other process, before the wait.
        """
        if self.acquire():
            return False
        waiting(self.holder[0])
        while not self.acquire():
            time.sleep(0.5)
        return True

    def release(self) -> None:
        """Unlock."""
        os.close(self._file)


_held: dict[Path, RunLock] = {}


def hold(folder: Path) -> None:
    """Lock a run directory until this process ends.

    Raises:
        GdlError: Another process writes there.
    """
    folder = folder.resolve()
    lock = _held.get(folder) or RunLock(folder)
    if not lock.acquire():
        pid, host = lock.holder
        lock.release()
        where = "" if host == socket.gethostname() else f" on {host}"
        raise GdlError(
            f"{folder} belongs to process {pid}{where}, which is writing there: wait until it has "
            "ended, or stop it."
        )
    _held[folder] = lock
