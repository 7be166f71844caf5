"""Decoded images in files that are mapped into memory, so that they may be larger than it.

An entry is a folder with images.npy (N, C, H, W) uint8, labels.npy (N,) int64 if there are labels, and
about.json. It appears under its name when it is complete, so that an interrupted build is never used.
The files are plain arrays and plain JSON: reading an entry runs nothing, whoever wrote it.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdl.errors import GdlError

__all__ = ["Entry", "create_array", "digest_of", "key_of", "open_array", "open_or_build"]

FORMAT = 1
"""Changes when the same files would give other images, or the entry has another layout."""

BLOCK = 1 << 24


@dataclass
class Entry:
    """Images (N, C, H, W) uint8 in the order train, val, test.

    Args:
        images: Mapped into memory; pages are read when they are used.
        labels: (N,) int64, or None.
        sizes: The number of images of each split.
        facts: What else is known, as plain data.
        digest: SHA-256 of the images, in hexadecimal digits.
        folder: Where the files are.
        kept: False where the files last only as long as this process.
    """

    images: Tensor
    labels: Tensor | None
    sizes: dict[str, int]
    digest: str
    facts: dict[str, Any]
    folder: Path
    kept: bool = True
    _last: Any = field(default=None, repr=False)

    def splits(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Return images and labels of each split, as views."""
        found, start = {}, 0
        for name, size in self.sizes.items():
            part = slice(start, start + size)
            found[name] = (self.images[part], None if self.labels is None else self.labels[part])
            start += size
        return found


Build = Callable[[Path], dict[str, Any]]
"""Writes images.npy and labels.npy into a folder; returns {"sizes": ..., "facts": ...}."""


def open_or_build(cache: Path, name: str, key: str, build: Build) -> Entry:
    """Return an entry, which is built if there is none, or a damaged one.

    Of several processes that ask at once, one builds and the others wait. An entry of the same name
    with another key is out of date and is deleted.

    Args:
        cache: Folder of all entries.
        name: What the entry is of, e.g. a folder's name and a hash of how it is read.
        key: Changes with the content.
        build: See `Build`.
    """
    path = cache / f"{name}-{key}"
    if (entry := _open(path)) is not None:
        return entry
    try:
        cache.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache).close()
    except OSError as e:
        return _build_for_now(build, f"{cache} cannot be written ({e.strerror})")
    with _locked(cache / f".{name}.lock"):
        if (entry := _open(path)) is not None:
            return entry
        for old in [*cache.glob(f"{name}-*"), *cache.glob(f".{name}-*.building")]:
            shutil.rmtree(old, ignore_errors=True)
        unfinished = cache / f".{name}-{key}.building"
        try:
            unfinished.mkdir()
            _complete(unfinished, build)
            unfinished.rename(path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    entry = _open(path)
    assert entry is not None, path
    return entry


def _build_for_now(build: Build, why: str) -> Entry:
    """Return an entry in a temporary folder, which goes when the entry is no longer used."""
    warnings.warn(
        f"{why}, so the decoded images are not kept for the next start: set data_dir to a folder that "
        "can be written.",
        stacklevel=2,
    )
    folder = Path(tempfile.mkdtemp(prefix="gdl-"))
    try:
        _complete(folder, build)
        entry = _open(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    assert entry is not None, folder
    entry.kept, entry._last = False, weakref.finalize(entry, shutil.rmtree, folder, True)
    return entry


def _complete(folder: Path, build: Build) -> None:
    """Build, and write about.json last."""
    about = build(folder)
    images = open_array(folder / "images.npy")
    about |= {"format": FORMAT, "shape": list(images.shape), "digest": digest_of([images])}
    with (folder / "about.json").open("w") as f:
        json.dump(about, f, allow_nan=False)
        f.flush()
        os.fsync(f.fileno())


def _open(path: Path) -> Entry | None:
    """Return an entry, None if there is none or it is not whole."""
    try:
        about = json.loads((path / "about.json").read_text())
        images = open_array(path / "images.npy")
        labels = path / "labels.npy"
        y = np.load(labels, allow_pickle=False) if labels.is_file() else None
        sizes = {str(k): int(n) for k, n in about["sizes"].items()}
        whole = (
            about["format"] == FORMAT
            and list(images.shape) == about["shape"]
            and list(sizes) == ["train", "val", "test"]
            and min(sizes.values()) > 0
            and sum(sizes.values()) == len(images)
            and (y is None or (y.dtype == np.int64 and y.shape == (len(images),)))
            and isinstance(about["facts"], dict)
            and isinstance(about["digest"], str)
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError):
        return None
    if not whole:
        return None
    labels = None if y is None else torch.from_numpy(y)
    return Entry(_as_tensor(images), labels, sizes, about["digest"], about["facts"], path)


def open_array(path: Path, mode: Any = "c") -> np.ndarray:
    """Return the array (N, C, H, W) uint8 of a file, mapped into memory.

    With mode "c" what is written into it stays in memory.

    Raises:
        OSError: There is no such file.
        ValueError: The file holds something else.
    """
    try:
        x = np.load(path, mmap_mode=mode, allow_pickle=False)
    except OSError:
        if mode != "c":
            raise
        # the system may refuse to map more than there is memory, if it could be written to
        x = np.load(path, mmap_mode="r", allow_pickle=False)
    if x.dtype != np.uint8 or x.ndim != 4 or not x.flags.c_contiguous:
        raise ValueError(f"{path} holds {x.dtype} of shape {x.shape}")
    return x


def _as_tensor(x: np.ndarray) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(x)


def create_array(path: Path, shape: tuple[int, ...]) -> int:
    """Create the file of an array (N, C, H, W) uint8; return where in it the array starts.

    Its space is reserved, so that a full disk is known before the work and not in the midst of it.

    Raises:
        GdlError: There is too little space.
    """
    size = int(np.prod(shape, dtype=object))
    free = shutil.disk_usage(path.parent).free
    message = (
        f"The decoded images take {size / 1e9:.3g} GB, and {path.parent.parent} has "
        f"{free / 1e9:.3g} GB free: set a smaller data.size, or data_dir to a folder on a larger disk."
    )
    if size > 0.95 * free:
        raise GdlError(message)
    with path.open("wb") as f:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(f, header)
        start = f.tell()
        f.truncate(start + size)
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(f.fileno(), 0, start + size)
            except OSError as e:
                raise GdlError(message) from e
    return start


def digest_of(parts: list[np.ndarray]) -> str:
    """Return the SHA-256 of the bytes of arrays in C order, of which only a block is in memory."""
    digest = hashlib.sha256()
    for x in parts:
        rows = max(1, BLOCK // max(1, x[:1].nbytes))
        for i in range(0, len(x), rows):
            digest.update(np.ascontiguousarray(x[i : i + rows]).data)
    return digest.hexdigest()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends."""
    with path.open("w") as f:
        try:
            import fcntl

            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"Another process is decoding the same images ({path}): waiting for it.")
                fcntl.flock(f, fcntl.LOCK_EX)
        except (ImportError, OSError):
            pass  # a system, or a disk of the network, without locks
        yield


def key_of(*parts: Any) -> str:
    """Return a short hash of plain values."""
    # JSON is written several times as fast as repr, which matters for a million files
    return hashlib.sha256(json.dumps(parts, allow_nan=False).encode()).hexdigest()[:16]
