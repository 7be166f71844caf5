"""Names of files that stay in their folder, whoever has chosen them."""

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from gdl.data.listing import printable
from gdl.errors import GdlError
from gdl.files import for_shell, path_below

__all__ = ["checked_names", "free_paths"]


def free_paths(folder: Path, names: Sequence[str], ending: str = "") -> list[Path]:
    """Return the paths of files below a folder that are not there yet.

    Raises:
        GdlError: A name leads out of the folder, or there is something of that name.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise GdlError(f"{for_shell(folder)} is no folder: name one with out=.")
    paths = [path_below(folder, name) for name in checked_names(names, "A file", ending)]
    top = folder.resolve()
    for path in paths:
        if not path.parent.resolve().is_relative_to(top):
            raise GdlError(f"{path.parent} is a link out of {folder}/: name another folder.")
        if os.path.lexists(path):
            raise GdlError(f"{for_shell(path)} exists already: name another folder with out=.")
    return paths


def checked_names(names: Sequence[str], where: str, ending: str = "") -> Sequence[str]:
    """Return names of files below some folder.

    Args:
        names: E.g. "sub/a.png"; they may be somebody else's.
        where: What has these names, for errors.
        ending: What each ends with, behind a name.

    Raises:
        GdlError: One is no name of such a file below a folder, or two are of one file.
    """
    for name in names:
        parts = name.split("/")
        odd = "\\:" if os.name == "nt" else ""
        plain = not any(unicodedata.category(c) in ("Cc", "Cs") or c in odd for c in name)
        short = plain and all(len(part.encode()) <= 255 for part in parts)
        if not short or not name.endswith(ending) or set(parts) & {"", ".", "..", ending}:
            raise GdlError(
                f"{where} would be called '{printable(name):.200}', which is no name below a folder: "
                "rename it."
            )
    files, folders = Counter(names), {str(p) for n in names for p in PurePosixPath(n).parents}
    for name, times in files.items():
        if times > 1 or name in folders:
            raise GdlError(
                f"{where} would have {name!r:.200} twice: give one folder above all of them, or rename "
                "one."
            )
    return names
