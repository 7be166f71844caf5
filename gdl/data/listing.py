"""The files below a folder, and what else is there."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

__all__ = ["ENDINGS", "FoundFile", "Listing", "list_files", "list_images", "printable"]

ENDINGS = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".webp", ".avif", ".bmp", ".gif"),
    *(".tif", ".tiff", ".tga", ".pbm", ".pgm", ".ppm", ".pnm"),
}


class FoundFile(NamedTuple):
    """A file: its path below the folder, and what changes when its content does."""

    name: str
    size: int
    modified: int
    changed: int


@dataclass
class Listing:
    """Files, sorted by name, and what is not read, as "notes.txt (no image)"."""

    root: Path
    files: list[FoundFile] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """The number of files of all kinds."""
        return len(self.files) + len(self.left_out)


def list_images(root: Path, skip: Path | None = None) -> Listing:
    """Return the image files below a folder; see `list_files`."""
    return list_files(root, _why_no_image, skip)


def _why_no_image(name: str) -> str | None:
    ending = os.path.splitext(name)[1].lower()
    return None if ending in ENDINGS else "no ending of an image"


def list_files(
    root: Path, why_not: Callable[[str], str | None] = lambda _: None, skip: Path | None = None
) -> Listing:
    """Return the files below a folder, without hidden ones.

    Links to folders are followed, but no folder is read twice, nor one that `root` is in.

    Args:
        root: The folder.
        why_not: Returns why a file of this name is left out, or None.
        skip: A folder that is passed over, such as the cache.
    """
    found = Listing(root)
    seen = {_identity(folder) for folder in (root, *root.resolve().parents)}
    if skip is not None and skip.is_dir():
        seen.add(_identity(skip))
    folders, links = deque([""]), deque[str]()
    while folders or links:
        # links come last, so that a folder is known by its own name if it has one below root
        is_link = not folders
        prefix = links.popleft() if is_link else folders.popleft()
        path = root / prefix
        if prefix:
            if (here := _identity(path)) in seen:
                if is_link:
                    found.left_out.append(f"{prefix} (a link to a folder that is read already)")
                continue
            seen.add(here)
        try:
            entries = list(os.scandir(path))
        except OSError as e:
            found.left_out.append(f"{prefix or root}/ ({(e.strerror or str(e)).lower()})")
            continue
        for entry, name, kind in _kinds(entries, prefix, why_not):
            if kind == "folder":
                (links if entry.is_symlink() else folders).append(name)
            elif kind == "file":
                stat = entry.stat()
                found.files.append(
                    FoundFile(name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
                )
            else:
                found.left_out.append(f"{name} ({kind})")
    found.files.sort(key=lambda file: file.name)
    found.left_out.sort()
    return found


def _kinds(
    entries: list[os.DirEntry[str]], prefix: str, why_not: Callable[[str], str | None]
) -> Iterator[tuple[os.DirEntry[str], str, str]]:
    """Yield each entry with its path below the root: a folder, a file, or why it is not read."""
    for entry in entries:
        name = f"{prefix}/{entry.name}" if prefix else entry.name
        if entry.name.startswith("."):
            yield entry, name, "hidden"
            continue
        try:
            if entry.is_dir():
                kind = "folder"
            elif entry.is_file():
                kind = why_not(entry.name) or "file"
            else:
                kind = "a broken link" if entry.is_symlink() else "no regular file"
        except OSError as e:  # e.g. a link to itself
            kind = (e.strerror or str(e)).lower()
        yield entry, name, kind


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def printable(text: str) -> str:
    """Return a text in which characters that a terminal cannot show, or obeys, are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
