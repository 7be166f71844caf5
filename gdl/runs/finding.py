"""Which run is meant: by its directory, a folder above it, a file in it, or as the latest."""

import os
from pathlib import Path

from gdl.errors import GdlError
from gdl.exported import exported_weights
from gdl.files import for_shell, read_json
from gdl.runs.directory import Run

__all__ = ["find_run", "newest_runs"]

NO_CHECKPOINTS = {".csv", ".gif", ".html", ".json", ".log", ".md", ".png", ".txt", ".yaml"}
"""Endings of the other files that gdl writes."""


def newest_runs(outputs: str | Path) -> list[Path]:
    """Return the run directories below `outputs`, the most recently started first."""

    def started(record: Path) -> tuple[str, float]:
        try:
            first = str(read_json(record).get("started", ""))
        except (ValueError, AttributeError, OSError):
            first = ""  # a damaged record
        return first, record.lstat().st_mtime

    records = Path(outputs).glob("**/run.json")
    return [p.parent for p in sorted(records, key=started, reverse=True)]


def find_run(spec: str, outputs: str | Path = "outputs") -> tuple[Run, Path | None]:
    """Find a run by its directory or anything in it, by a folder above it, or as "latest".

    A checkpoint file is the run's with this checkpoint, and so is a folder that `gdl export` wrote. Of
    the runs below a folder it is the one that was started last, as "latest" is among all runs below
    `outputs`.

    Returns:
        The run, and the checkpoint if one was named.

    Raises:
        GdlError: Nothing matches; the message lists the newest runs.
    """
    path = Path(os.path.expanduser(outputs if spec == "latest" else spec))  # or as it is
    if not path.exists():
        path = Path(outputs) / path  # as tables name a run
    if spec != "latest":
        path = exported_weights(path) or path
    is_checkpoint = path.is_file() and path.suffix not in NO_CHECKPOINTS
    if (path / "run.json").is_file() and spec != "latest":
        return Run(path), None
    below = newest_runs(path) if path.is_dir() else []
    if below:
        return Run(below[0]), None
    around = [p for p in path.resolve().parents if (p / "run.json").is_file()]
    if around and path.exists() and spec != "latest":
        return Run(around[0]), path if is_checkpoint else None
    if is_checkpoint:
        folder = path.resolve().parent
        return Run(folder.parent if folder.name == "checkpoints" else folder), path
    if spec == "latest":
        raise GdlError(f"There is no run below {outputs}/: start one with gdl train.")
    newest = [for_shell(p) for p in newest_runs(outputs)[:5]]
    hint = f" The newest runs are: {', '.join(newest)}." if newest else ""
    raise GdlError(
        f"{spec!r} is neither a run directory, a folder above one, a checkpoint nor 'latest'; nothing "
        f"matches.{hint}"
    )
