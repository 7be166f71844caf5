"""Files that are texts of a model, and the same files again."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from gdl.coding.names import checked_names, free_paths
from gdl.data.listing import list_files
from gdl.errors import GdlError
from gdl.files import for_shell, write_atomically

__all__ = ["read_texts", "text_paths", "write_texts"]


def read_texts(paths: Iterable[str | Path]) -> tuple[list[bytes], list[str], list[str]]:
    """Return the bytes of files and of folders' files, their names, and what was left out.

    A name is the path below the folder that was given.

    Args:
        paths: Files, and folders, which are searched with their sub-folders.

    Raises:
        GdlError: A file cannot be read, or its name cannot be kept.
    """
    found: list[tuple[str, Path]] = []
    left_out: list[str] = []
    for path in map(Path, paths):
        if path.is_dir():
            listing = list_files(path)
            found += [(file.name, path / file.name) for file in listing.files]
            left_out += listing.left_out
        elif path.is_file():
            found.append((path.name, path))
        elif os.path.lexists(path):
            raise GdlError(
                f"{for_shell(path)} is no file, but a pipe, a device or a link that leads nowhere: "
                "name text files, or folders with some."
            )
        else:
            raise GdlError(f"There is no file or folder {for_shell(path)}.")
    names = [name for name, _ in found]
    checked_names(names, "The texts")
    return [_content(path) for _, path in found], names, left_out


def text_paths(out: str, names: Sequence[str]) -> list[Path]:
    """Return where texts are written, which is free.

    Args:
        out: Of a single text the file, unless it is a folder or ends like one; of several the folder.
        names: Their names; they may be somebody else's.

    Raises:
        GdlError: A name leads out of the folder, or there is something of that name.
    """
    path = Path(out)
    if len(names) > 1 or path.is_dir() or out.endswith(("/", os.sep)):
        return free_paths(path, names)
    if os.path.lexists(path):
        raise GdlError(f"{for_shell(path)} exists already: name another file with out=.")
    return [path]


def write_texts(contents: Sequence[bytes], paths: Sequence[Path]) -> None:
    """Write texts to new files and folders, either all of them, or none where one cannot be written.

    Raises:
        GdlError: A file cannot be written.
    """
    written: list[Path] = []
    folders = {p for p in {p for path in paths for p in path.parents} if not p.exists()}
    try:
        for path, content in zip(paths, contents, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
            written.append(path)
    except BaseException as e:
        for path in written:
            path.unlink(missing_ok=True)
        for folder in sorted(folders, reverse=True):  # the inner ones first
            with suppress(OSError):
                folder.rmdir()
        if isinstance(e, OSError):
            raise GdlError(
                f"{for_shell(e.filename or paths[len(written)])} cannot be written: "
                f"{(e.strerror or str(e)).lower()}."
            ) from e
        raise


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise GdlError(
            f"{for_shell(path)} cannot be read: {(e.strerror or str(e)).lower()}."
        ) from e
