"""What a command that has ended may have left running."""

import os
from pathlib import Path

__all__ = ["processes"]


def processes(folder: Path) -> list[str]:
    """Return the command lines of processes that name a folder, or have files open in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            files = [os.readlink(f) for f in (path / "fd").iterdir()]
        except OSError:
            continue
        if int(path.name) != os.getpid() and any(str(folder) in t for t in [line, *files]):
            found.append(line)
    return found
