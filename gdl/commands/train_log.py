"""train.log: what training prints, line by line, beside where it is printed."""

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

__all__ = ["TrainLog", "is_first_process", "recorded", "train_log"]

COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class TrainLog:
    """Copies the lines of stdout and stderr to a file, which may be named after the first of them.

    A line that is rewritten in place, as progress on a terminal is, is copied once, as it was left.
    """

    def __init__(self) -> None:
        self._file: TextIO | None = None
        self._waiting: list[str] = []
        self._parts: dict[int, str] = {}

    def attach(self, path: Path) -> None:
        """Append the lines from now on, and those that wait, to a file, unless there is one already."""
        if self._file is not None:
            return
        if not isinstance(
            sys.stdout, Copied
        ):  # a launcher's worker has not run the command itself
            _copy_to(self)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            waiting, self._waiting = self._waiting, []
            self._file = path.open("a", encoding="utf-8", errors="replace")
            self._write(*waiting)

    def detach(self) -> None:
        """End the file; forget lines that wait."""
        self._write(*(self._as_shown(part) for part in self._parts.values() if part))
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file, self._waiting, self._parts = None, [], {}

    def take(self, stream: int, text: str) -> None:
        """Take text that is printed to a stream, and write the lines that it completes."""
        *lines, part = (self._parts.get(stream, "") + text).split("\n")
        self._parts[stream] = part[max(0, part.rstrip("\r").rfind("\r")) :]
        self._write(*map(self._as_shown, lines))

    @staticmethod
    def _as_shown(line: str) -> str:
        line = COLOURS.sub("", line)
        return line.rstrip("\r").rpartition("\r")[2].rstrip() if "\r" in line else line

    def _write(self, *lines: str) -> None:
        if self._file is None:
            self._waiting += lines
            return
        try:
            self._file.writelines(f"{line}\n" for line in lines)
            self._file.flush()
        except OSError:  # a full disk; what matters more is told of elsewhere
            self._file = None


class Copied:
    """A stream that does what another one does, and copies what is written to a log."""

    def __init__(self, stream: TextIO, log: TrainLog) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        """Write to the stream, then to the log."""
        written = self._stream.write(text)
        self._log.take(id(self), text)
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


train_log = TrainLog()
"""The log of the training that this process does."""


def _copy_to(log: TrainLog) -> None:
    streams: Any = Copied(sys.stdout, log), Copied(sys.stderr, log)
    sys.stdout, sys.stderr = streams


@contextlib.contextmanager
def recorded() -> Iterator[TrainLog]:
    """Copy what is printed within the block to `train_log`, and the traceback of a defect."""
    before = sys.stdout, sys.stderr
    _copy_to(train_log)
    try:
        yield train_log
    except Exception:
        train_log.take(0, traceback.format_exc())  # Python prints it later
        raise
    finally:
        train_log.detach()
        sys.stdout, sys.stderr = before


def is_first_process() -> bool:
    """Return whether this is the one of several training processes that writes the files."""
    return {os.environ.get(name, "0") for name in ("LOCAL_RANK", "SLURM_PROCID")} == {"0"}
