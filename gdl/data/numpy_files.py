"""Files of NumPy's, perhaps larger than the memory: read in blocks, and never unpickled."""

import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["BROKEN", "StoredArray", "stored_arrays"]

BLOCK = 1 << 24
BROKEN = (OSError, ValueError, TypeError, LookupError, EOFError, zlib.error, zipfile.BadZipFile)
"""What reading a damaged file raises."""


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, which is read in blocks.

    Args:
        file: The file.
        member: Its name in a .npz file, None of a .npy file.
        shape: Its shape.
        dtype: Its type.
    """

    file: Path
    member: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_columns: bool

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield parts of the array, along its first axis."""
        if self.member is None or self.by_columns:
            x = np.load(self.file, mmap_mode="r", allow_pickle=False)
            x = x if self.member is None else x[self.member.removesuffix(".npy")]
            yield from (x[i : i + self._rows] for i in range(0, len(x), self._rows))
            return
        row = prod(self.shape[1:]) * self.dtype.itemsize
        with zipfile.ZipFile(self.file) as archive, archive.open(self.member) as stream:
            _read_header(stream)
            for i in range(0, self.shape[0], self._rows):
                n = min(self._rows, self.shape[0] - i)
                content = stream.read(n * row)
                if len(content) < n * row:
                    raise EOFError(f"{self.member} ends too early")
                yield np.frombuffer(content, self.dtype).reshape(n, *self.shape[1:])

    def read(self) -> np.ndarray:
        """Return the whole array."""
        return np.concatenate([np.zeros((0, *self.shape[1:]), self.dtype), *self.blocks()])

    @property
    def _rows(self) -> int:
        return max(1, BLOCK // max(1, prod(self.shape[1:]) * self.dtype.itemsize))


def stored_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, StoredArray]:
    """Return the arrays of a file by name; that of a .npy file is "images".

    Args:
        path: The file.
        names: Those of a .npz file that are looked at; None for all.

    Raises:
        OSError: The file cannot be read; or another error of `BROKEN`: it holds something else.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            shape, by_columns, dtype = _read_header(stream)
        np.load(path, mmap_mode="r", allow_pickle=False)
        return {"images": StoredArray(path, None, shape, dtype, by_columns)}
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if names is not None and member.removesuffix(".npy") not in names:
                continue
            with archive.open(member) as stream:
                shape, by_columns, dtype = _read_header(stream)
            name = member.removesuffix(".npy")
            found[name] = StoredArray(path, member, shape, dtype, by_columns)
    return found


def _read_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and type of an array whose bytes follow in the stream.

    Raises:
        ValueError: It holds Python objects, which would have to be unpickled.
    """
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0
    shape, by_columns, dtype = (
        read(stream) if version == (1, 0) else np.lib.format.read_array_header_2_0(stream)
    )
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    return shape, by_columns, dtype
