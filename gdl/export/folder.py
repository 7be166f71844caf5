"""The folder of an export, which is whole or absent."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gdl.errors import GdlError
from gdl.files import for_shell

__all__ = ["new_folder"]


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to write in, which gets its name when everything is written.

    Args:
        path: The name; an empty folder is replaced.

    Raises:
        GdlError: There is something of that name, or no folder to make it in, or the disk is full.
        OSError: It cannot be made or renamed.
    """
    if not path.name:
        raise GdlError(f"{for_shell(path)} has no name of its own: name a new folder with out=.")
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or any(path.iterdir())):
        raise GdlError(f"{for_shell(path)} exists already: remove it, or name another out=.")
    if not path.parent.is_dir():
        raise GdlError(f"There is no folder {for_shell(path.parent)} to make {path.name} in.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir()
        yield temporary
        if path.is_dir():
            path.rmdir()
        temporary.rename(path)
    except OSError as e:
        if e.filename and e.errno not in (errno.ENOSPC, errno.EDQUOT):  # what the others name
            raise
        raise GdlError(
            f"{for_shell(path)} cannot be written ({e.strerror or e}): free some space, or name a "
            "folder on another disk with out=."
        ) from e
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
