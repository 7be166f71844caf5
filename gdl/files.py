"""Files that readers see whole or not at all."""

import json
import math
import os
import re
import shlex
import zipfile
from pathlib import Path
from typing import Any

from gdl.errors import GdlError

__all__ = [
    "for_shell",
    "is_whole_archive",
    "path_below",
    "read_json",
    "write_atomically",
    "write_json",
]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that readers, and a kill, see the old content or the new, never a part."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any, indent: int = 2) -> None:
    """Write a file of strict JSON, see `write_atomically`.

    JSON has no NaN and no infinity: such a number becomes null, which says that it was measured and is
    no number. A number that was never measured has no key.
    """
    text = json.dumps(_strict(content), indent=indent, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text + "\n")


def _strict(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _strict(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_strict(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def is_whole_archive(path: Path) -> bool:
    """Return whether a file is a zip archive that is not compressed and has the right checksums.

    Checkpoints are such archives. A compressed one could be of any size when it is read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
            return stored and archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a file, empty if there is none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}


def path_below(folder: Path, name: str) -> Path:
    """Return folder/name, whatever the name, which may come from a file of somebody else.

    Raises:
        GdlError: The name leads out of the folder.
    """
    if not name.strip() or Path(name).is_absolute() or ".." in Path(name).parts:
        raise GdlError(
            f"{name!r} leads out of {folder}/: use a name without '..' and '/' in front."
        )
    return folder / name


def for_shell(path: str | Path) -> str:
    """Return a path as it can be typed in a shell: in quotes only where it needs them."""
    text = str(path)
    if re.fullmatch(r"[\w@%+=:,./~-]+", text) and not text.startswith("~"):
        return text
    return f'"{text}"' if "'" in text and not re.search(r'["$`\\!]', text) else shlex.quote(text)
