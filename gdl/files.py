"""Files that readers see whole or not at all."""

import csv
import io
import json
import math
import os
import re
import shlex
import stat
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from gdl.errors import GdlError

__all__ = [
    "for_shell",
    "is_whole_archive",
    "path_below",
    "read_json",
    "read_text",
    "read_yaml",
    "write_atomically",
    "write_json",
    "write_rows",
]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that readers, and a kill, see the old content or the new, never a part.

    Raises:
        GdlError: There is something else than a file, such as a device, which would be replaced.
        OSError: It cannot be written, e.g. because the disk is full; it names a file.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise GdlError(f"{path} is no ordinary file, so it was not replaced: name another one.")
    # half a surrogate pair, which JSON can name, is no UTF-8: it is written as JSON names it
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)
    except OSError as e:
        e.filename = e.filename or str(path)  # of a full disk Python does not say it
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_rows(path: Path, rows: Sequence[Sequence[float]], names: Sequence[str] | None) -> Path:
    """Write numbers as CSV, a row a line; without names the columns are numbered from 1."""
    text, width = io.StringIO(), len(rows[0])
    if names is None or len(names) != width:
        names = [str(i + 1) for i in range(width)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([f"{number:.9g}" for number in row] for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue())
    return path


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

    Checkpoints are such archives. A compressed one, or one whose parts share their bytes, could be
    of any size when it is read.
    """
    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
            file.seek(0)
            return (
                file.read(4) == b"PK\3\4"  # else torch takes it for one of its older formats
                and all(p.compress_type == zipfile.ZIP_STORED for p in parts)
                and all(p.compress_size == p.file_size for p in parts)
                and len({p.filename for p in parts}) == len(parts)
                and archive.testzip() is None
            )
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError, EOFError, struct.error):
        return False


MAX_TEXT = 64_000_000
"""Bytes of a text file of a run; the largest, metrics.csv, has about 150 for each logged step."""


def read_text(path: Path, limit: int = MAX_TEXT) -> str:
    """Return the text of a file that may be somebody else's.

    Raises:
        GdlError: It is not a file, is larger than `limit` bytes, or is not text.
        OSError: It is not there, or cannot be read.
    """
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise GdlError(f"{path} is damaged: it is not a file.")
    if info.st_size > limit:
        raise GdlError(
            f"{path} is damaged: it has {info.st_size / 1e6:.0f} MB, which no run writes."
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise GdlError(f"{path} is damaged: it is not text.") from e


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a file, empty if there is none.

    Raises:
        GdlError: The file is no JSON object, or cannot be read.
    """
    try:
        content = json.loads(read_text(path, 4_000_000))
    except FileNotFoundError:
        if path.is_symlink():
            raise GdlError(f"{path} is damaged: it is a link to nothing.") from None
        return {}
    except OSError as e:
        raise GdlError(f"{path} cannot be read: {e.strerror}.") from e
    except GdlError:
        raise
    except (ValueError, RecursionError) as e:
        raise GdlError(f"{path} is damaged: it is no JSON ({e}); remove it.") from e
    if not isinstance(content, dict):
        raise GdlError(f"{path} is damaged: it is no JSON object; remove it.")
    return content


def read_yaml(text: str, path: Path) -> Any:
    """Return the content of a YAML text without aliases, which could make a small text enormous.

    Args:
        text: The text.
        path: Where it is from, for errors.

    Raises:
        GdlError: It is no YAML, or has aliases.
    """
    # PyYAML's C parser; OmegaConf takes 20 ms per file, seconds for a hundred runs
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if "&" in text and "*" in text:
            tokens = yaml.scan(text, Loader=loader)
            if any(isinstance(token, yaml.AliasToken) for token in tokens):
                raise GdlError(f"{path} is damaged: it has aliases, which no run of gdl writes.")
        return yaml.load(text, Loader=loader)
    except GdlError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, LookupError, RecursionError) as e:
        raise GdlError(f"{path} is damaged: it is no YAML.") from e


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
