"""Tables of the benchmarks: printed row by row and, with record=FILE, kept as a record of results/.

A record holds what the machine did beside the benchmark while it ran, in cores; numbers that were taken
beside more than one busy core are refused.
"""

import json
import os
import shlex
import sys
import time
from pathlib import Path

from gdl.files import write_atomically
from gdl.runs.directory import git_commit
from gdl.runs.hardware import hardware

ROOT = Path(__file__).resolve().parent.parent
LARGEST_LOAD = 1.0
"""Cores that others may keep busy while a record is measured."""


def options() -> dict[str, str]:
    """Return the arguments NAME=VALUE of the command line."""
    return dict(arg.split("=", 1) for arg in sys.argv[1:])


class OtherLoad:
    """The cores that all other processes keep busy, from a moment on; a host's other guests count."""

    def __init__(self) -> None:
        self._start, self._before = time.perf_counter(), self._others()

    def cores(self) -> float:
        """Return the mean since the start."""
        seconds = time.perf_counter() - self._start
        return max(0.0, (self._others() - self._before) / max(seconds, 1e-3))

    @staticmethod
    def _others() -> float:
        """Return the CPU seconds that others have used since the machine started."""
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        user, nice, system, _idle, _wait, irq, softirq, stolen = map(int, fields)
        busy = (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")
        return busy - sum(os.times()[:4])


class Table:
    """The rows of a benchmark.

    Args:
        title: Heading in RESULTS.md.
        columns: Names of the columns.
        timed: Whether the numbers are times, which other load would change.

    Raises:
        SystemExit: Times are to be recorded, and others keep more than one core busy.
    """

    def __init__(self, title: str, *columns: str, timed: bool = True) -> None:
        self._title, self.columns, self._timed = title, columns, timed
        self._rows: list[list[str]] = []
        self._record = options().get("record")
        if self._record and timed:
            self._refuse(self._load_of(seconds=3))
        self._start, self._load = time.perf_counter(), OtherLoad()
        print(" | ".join(columns))

    def add(self, *cells: object) -> None:
        """Add and print a row."""
        self._rows.append([f"{c:.2f}" if isinstance(c, float) else str(c) for c in cells])
        print(" | ".join(self._rows[-1]), flush=True)

    def save(self, note: str = "") -> None:
        """Print the load of others and, if record=FILE was given, write the record.

        Raises:
            SystemExit: The load was too high; nothing is written.
        """
        load = self._load.cores()
        print(f"others used {load:.2f} cores meanwhile")
        if not self._record:
            return
        if self._timed:
            self._refuse(load)
        arguments = [a for a in sys.argv[1:] if not a.startswith("record=")]
        arguments = ["data_dir=FOLDER" if a.startswith("data_dir=") else a for a in arguments]
        arguments = [f"run={Path(a[4:]).name}" if a.startswith("run=") else a for a in arguments]
        script = Path(sys.argv[0]).name
        record = {
            "title": self._title,
            "command": shlex.join(["python", f"benchmarks/{script}", *arguments]),
            "commit": git_commit(),
            "seed": 0,
            "hardware": hardware(),
            "minutes": round((time.perf_counter() - self._start) / 60, 1),
            "load": round(load, 2),
            "columns": self.columns,
            "rows": self._rows,
        }
        text = json.dumps(record | ({"note": note} if note else {}), indent=1, ensure_ascii=False)
        write_atomically(Path(self._record), text + "\n")

    @staticmethod
    def _load_of(seconds: float) -> float:
        load = OtherLoad()
        time.sleep(seconds)
        return load.cores()

    @staticmethod
    def _refuse(load: float) -> None:
        if load > LARGEST_LOAD:
            raise SystemExit(
                f"error: other processes keep {load:.1f} cores busy, so nothing was recorded: "
                "measure on a quiet machine, or without record=."
            )
