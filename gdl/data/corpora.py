"""Where texts come from: every Python has two, others are files of the user's."""

import fnmatch
import os
import platform
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdl.data.arguments import checked_path
from gdl.data.listing import list_files, printable
from gdl.errors import GdlError

__all__ = ["Corpus", "read_corpus"]

NO_LIBRARY = (
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idle_test",
    "pydoc_data",
    "encodings",
)
"""Folders that are not read in the standard library: other packages, tests, prose, long tables."""

OWN_BUILD = ("_sysconfigdata", "config-", "sitecustomize")
"""What names begin with of files, or folders, that say how one Python was built."""


@dataclass(frozen=True)
class Corpus:
    """A text, in parts that follow one another with nothing between them.

    Args:
        source: Its name, short.
        where: What it is, for sentences.
        parts: The name and the bytes of each part.
        left_out: What was found and not read, and why.
        facts: What else a result on it depends on.
    """

    source: str
    where: str
    parts: list[tuple[str, bytes]]
    left_out: list[str]
    facts: dict[str, Any]

    @property
    def content(self) -> bytes:
        """All bytes."""
        return b"".join(content for _, content in self.parts)

    def text(self) -> str:
        """Return all characters.

        Raises:
            GdlError: A part is no UTF-8; the sentence names it and the byte.
        """
        for name, content in self.parts:
            if problem := not_utf8(content):
                raise GdlError(
                    f"{printable(name)} is not UTF-8 ({problem}): convert it, or use "
                    "data.alphabet=bytes."
                )
        return self.content.decode()

    def foreign(self) -> list[str]:
        """Return the parts that are no UTF-8, each with its first wrong byte."""
        found = ((name, not_utf8(content)) for name, content in self.parts)
        return [f"{name} ({problem})" for name, problem in found if problem]


def not_utf8(content: bytes) -> str | None:
    """Return the first byte that is no UTF-8 and its place, as "byte 0xe9 at 17"; None if all are."""
    try:
        content.decode()
    except UnicodeDecodeError as e:
        return f"byte 0x{content[e.start]:02x} at {e.start}"
    return None


def read_corpus(corpus: str | None, file: str | None, root: str | None, glob: str) -> Corpus:
    """Return the text that is named; without a name that of `pydoc`.

    Args:
        corpus: "pydoc", the help on Python's language that comes with it, or "stdlib", the source of
            its standard library.
        file: A text file.
        root: A folder, of which all text files are read, in the order of their names.
        glob: What their names must match, as "*.py"; with a / it is the path below the folder.

    Raises:
        GdlError: Several are named, or it cannot be read, is empty or is no text.
    """
    named = [k for k, v in (("corpus", corpus), ("file", file), ("root", root)) if v is not None]
    if len(named) > 1:
        raise GdlError(
            f"data.{named[0]} and data.{named[1]} name two texts: leave out one of them."
        )
    if root is None and glob != "*":
        raise GdlError(
            f"data.glob={glob} chooses files of a folder: set data.root=FOLDER too, or leave it out."
        )
    if file is not None:
        return _file(checked_path("data.file", file))
    if root is not None:
        return _folder(checked_path("data.root", root), glob)
    if corpus not in (None, "pydoc", "stdlib"):
        raise GdlError(
            f"data.corpus must be pydoc or stdlib, got {corpus!r}: texts of your own are "
            "data.file=FILE, or data.root=FOLDER."
        )
    return _standard_library() if corpus == "stdlib" else _pydoc()


def _pydoc() -> Corpus:
    try:
        from pydoc_data.topics import topics
    except ImportError as e:
        raise GdlError(
            "This Python has no pydoc_data: use data.file= or data.corpus=stdlib."
        ) from e
    version = platform.python_version()
    text = "\n".join(topics[name].strip("\n") + "\n" for name in sorted(topics))
    where = f"pydoc_data.topics of Python {version}"
    return Corpus("pydoc", where, [(where, text.encode())], [], {"python": version})


def _standard_library() -> Corpus:
    """Return the modules in the order of their paths, the same on all machines with one Python."""
    root, version = Path(sysconfig.get_path("stdlib")), platform.python_version()
    names: list[str] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if f not in NO_LIBRARY and not f.startswith(OWN_BUILD)]
        below = Path(folder).relative_to(root)
        found = [f for f in files if f.endswith(".py") and not f.startswith(OWN_BUILD)]
        names += [(below / f).as_posix() for f in found]
    where = f"the standard library of Python {version}"
    if not names:
        raise GdlError(f"{where} has no source in {root}: use data.file= or data.root=.")
    parts = [(name, _bytes(root / name)) for name in sorted(names)]
    left_out = [f"folders {', '.join(NO_LIBRARY)}", "files that say how this Python was built"]
    return Corpus("stdlib", where, parts, left_out, {"python": version, "files": len(parts)})


def _file(path: Path) -> Corpus:
    if path.is_dir():
        raise GdlError(f"{path} is a folder: read it with data.root={path}.")
    if not path.is_file():
        if os.path.lexists(path):
            why = "a link that leads nowhere" if path.is_symlink() else "a pipe or a device"
            raise GdlError(
                f"{path} is {why}, which cannot be read again: set data.file to a text file."
            )
        raise GdlError(f"There is no file {path}: set data.file to a text file.")
    content = _bytes(path)
    if not content:
        raise GdlError(f"{path} is empty: set data.file to a file with text.")
    if (zero := content.find(0)) >= 0:
        raise GdlError(f"{path} is no text: byte {zero} is 0; set data.file to a text in UTF-8.")
    return Corpus(printable(path.name), printable(str(path)), [(str(path), content)], [], {})


def _folder(root: Path, glob: str) -> Corpus:
    if root.is_file():
        raise GdlError(f"{root} is a file: read it with data.file={root}.")
    if not root.is_dir():
        raise GdlError(f"There is no folder {root}: set data.root to one with text files.")
    if not isinstance(glob, str) or not glob:
        raise GdlError(f"data.glob must be a pattern of names, as *.py, got {glob!r}.")
    found, where = list_files(root), printable(f"{root}/{glob}")
    matching = [f.name for f in found.files if _matches(f.name, glob)]
    left_out = [entry for entry in found.left_out if not entry.endswith("(hidden)")]
    hidden = len(found.left_out) - len(left_out)
    parts: list[tuple[str, bytes]] = []
    for name in matching:
        content = _bytes(root / name)
        if 0 in content:
            left_out.append(f"{name} (no text: byte {content.find(0)} is 0)")
        else:
            parts.append((str(root / name), content))
    left_out += [f"{hidden} hidden"] if hidden else []
    empty = sum(not content for _, content in parts)
    facts = {"files": len(parts), "empty_files": empty}
    if len(parts) == empty:
        why = f"; not read: {', '.join(map(printable, left_out[:5]))}" if left_out else ""
        raise GdlError(
            f"{where} matches no file with text among {found.total}{why}: set data.root or data.glob."
        )
    return Corpus(printable(f"{root.resolve().name}/{glob}"), where, parts, left_out, facts)


def _matches(name: str, glob: str) -> bool:
    return fnmatch.fnmatchcase(name if "/" in glob else name.rpartition("/")[2], glob)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise GdlError(f"{path} cannot be read: {(e.strerror or str(e)).lower()}.") from e
