"""Arrays of the user's, in a file of NumPy's, as a data set."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdl.data.arguments import checked_path
from gdl.data.cache import Entry
from gdl.data.numpy_files import BROKEN, StoredArray, stored_arrays
from gdl.data.splits import SPLITS, Division
from gdl.data.stored import StoredData, in_order, sizes_of, write_rows
from gdl.errors import GdlError

__all__ = ["Arrays", "array_shape"]

IMAGES = {
    "train": (
        "images",
        "train_images",
        "images_train",
        "x_train",
        "train_x",
        "train",
        "x",
        "data",
    ),
    "val": (
        "val_images",
        "valid_images",
        "images_val",
        "x_val",
        "x_valid",
        "val_x",
        "val",
        "valid",
    ),
    "test": ("test_images", "images_test", "x_test", "test_x", "test"),
}
LABELS = {
    "train": ("labels", "train_labels", "labels_train", "y_train", "train_y", "y", "targets"),
    "val": ("val_labels", "valid_labels", "labels_val", "y_val", "y_valid", "val_y"),
    "test": ("test_labels", "labels_test", "y_test", "test_y"),
}
"""What arrays are called in such files, in small letters; the first name that is there counts."""

HOW = "numpy.savez('x.npz', images=x), x of shape (N, H, W) or (N, H, W, C) and type uint8"


class Arrays(StoredData):
    """Images from a .npz or .npy file of uint8 arrays (N, H, W) or (N, H, W, C).

    A .npz file may hold labels too, and arrays of its own for validation and testing: `images`,
    `labels`, `val_images`, `val_labels`, `test_images`, `test_labels`, or other usual names, see
    `IMAGES`. Nothing in the file is run. It is read in blocks, so it may be larger than memory.

    Args:
        file: The file.
        shape: (C, H, W).
        split: Names of the arrays of the splits, see `Division`; "random" divides all images anew.
        val_fraction: Fraction of the training images held out for validation, at least one image,
            if there is no array for it.
        test_fraction: The same for testing.
        split_seed: Seed of the random choice of these images.
        **kwargs: See `ImageData`.

    Raises:
        GdlError: There is no such file, or an argument is out of range.
    """

    def __init__(
        self,
        file: str,
        shape: Sequence[int],
        split: str | Mapping[str, Any] | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) != 3:
            raise GdlError(f"data.shape must be a list like [3,64,64], got {shape!r}.")
        super().__init__(shape=shape, **kwargs)
        self.division = Division(split, val_fraction, test_fraction, split_seed)
        self.file = _existing(file)

    def open(self) -> Entry:
        """Return the images; see `StoredData.open`."""
        stat = self.file.stat()
        entry = self._stored(
            str(self.file.resolve()),
            str(self.division),
            (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns),
            self._build,
        )
        self._say(entry, str(self.file), "", entry.facts.pop("left_out"))
        return entry

    def _build(self, folder: Path) -> dict[str, Any]:
        found = _arrays(self.file)
        names = _image_arrays(self.file, found, self.division)
        given = {name: found[array] for name, array in names.items()}
        shapes = {_image_shape(self.file, array) for array in given.values()}
        if shapes != {self.shape}:
            raise GdlError(
                f"The images in {self.file} have the shapes (C, H, W) "
                f"{', '.join(map(str, sorted(shapes)))}, but data.shape is {self.shape}."
            )
        shape = next(iter(shapes))
        splits = [name for name, array in given.items() for _ in range(array.shape[0])]
        largest = 0

        def blocks() -> Iterator[np.ndarray]:
            nonlocal largest
            for array in given.values():
                for block in array.blocks():
                    largest = max(largest, int(block.max()))
                    channels_last = block if block.ndim == 4 else block[..., None]
                    yield np.moveaxis(channels_last, -1, 1).view(np.uint8)

        pooled = len(splits) if self.division.random else splits
        where = str(self.file)
        try:
            chosen = write_rows(folder, blocks(), shape, pooled, self.division, where)
            labels = _labels(self.file, found, given)
        except BROKEN as e:
            if isinstance(e, GdlError) or (isinstance(e, OSError) and e.errno):
                raise
            raise GdlError(f"{self.file} is damaged or cut off ({e}): write it again.") from e
        if labels is not None:
            np.save(folder / "labels.npy", labels[in_order(chosen)])
        used = {*names.values(), *(_first(found, LABELS[name]) for name in given)}
        facts: dict[str, Any] = {"images": len(splits), "skipped_files": 0, "skipped_first": []}
        facts["left_out"] = [f"array {name}" for name in found if name not in used]
        facts |= {"largest": largest}
        facts |= {} if labels is None else {"classes": len(np.unique(labels[labels >= 0]))}
        return {"sizes": sizes_of(chosen), "facts": facts}


def array_shape(file: str) -> list[int]:
    """Return [C, H, W] of the images in a file, of which only the beginnings of arrays are read.

    Raises:
        GdlError: There is no such file, or it holds no images.
    """
    path = _existing(file)
    found = _arrays(path)
    names = [name for name in IMAGES["train"] if name in {key.lower() for key in found}]
    array = found[_first(found, names) or next(iter(found), "")] if found else None
    if array is None:
        raise GdlError(f"{path} holds no arrays: write it with {HOW}.")
    return list(_image_shape(path, array))


def _existing(file: str) -> Path:
    path = checked_path("data.file", file)
    if not path.is_file():
        raise GdlError(
            f"There is no file {path}: set data.file to a .npz or .npy file, from {HOW}."
        )
    return path


def _arrays(path: Path) -> dict[str, StoredArray]:
    """Return the arrays of a file by name; that of a .npy file is "images"."""
    try:
        return stored_arrays(path)
    except BROKEN as e:
        raise GdlError(
            f"{path} is no .npz or .npy file of arrays, or is damaged ({e}): write it with {HOW}."
        ) from e


def _image_arrays(
    path: Path, found: Mapping[str, StoredArray], division: Division
) -> dict[str, str]:
    """Return the name of the array of each split that has one."""
    names = {split: _first(found, IMAGES[split]) for split in SPLITS}
    if division.names:
        names = {split: division.names.get(split) for split in SPLITS}
    elif len(found) == 1:
        names["train"] = next(iter(found))
    given = {split: name for split, name in names.items() if name is not None}
    if missing := [name for name in given.values() if name not in found]:
        raise GdlError(f"{path} has no array {missing[0]}: it has {', '.join(found)}.")
    if "train" not in given:
        raise GdlError(
            f"{path} has the arrays {', '.join(found)}: name the one with the images, "
            "data.split.train=NAME."
        )
    return given


def _first(found: Mapping[str, StoredArray], names: Sequence[str]) -> str | None:
    by_small_letters = {key.lower(): key for key in found}
    return next((by_small_letters[name] for name in names if name in by_small_letters), None)


def _image_shape(path: Path, array: StoredArray) -> tuple[int, ...]:
    """Return (C, H, W) of an array of images.

    Raises:
        GdlError: It is none.
    """
    shape, dtype = array.shape, array.dtype
    if dtype not in (np.dtype(np.uint8), np.dtype(np.bool_)):
        raise GdlError(
            f"The images in {path} are {dtype}, but pixels are whole numbers from 0 to 255: write "
            "them as uint8, e.g. numpy.rint(255 * x).astype('uint8') of numbers from 0 to 1."
        )
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise GdlError(f"The images in {path} have shape {shape}: write them with {HOW}.")
    if len(shape) == 4 and shape[3] > 4 and shape[1] <= 4:
        raise GdlError(
            f"The images in {path} have shape {shape}, with the colours first: write "
            "numpy.moveaxis(x, 1, -1), with the colours last."
        )
    return (shape[3] if len(shape) == 4 else 1, shape[1], shape[2])


def _labels(
    path: Path, found: Mapping[str, StoredArray], given: Mapping[str, StoredArray]
) -> np.ndarray | None:
    """Return the labels (N,) int64 of all images, None if some have none.

    Raises:
        GdlError: They are not one whole number for each image.
    """
    names = {split: _first(found, LABELS[split]) for split in given}
    if any(name is None for name in names.values()):
        return None
    parts = []
    for split, name in names.items():
        y, n = found[str(name)].read(), given[split].shape[0]
        if (
            y.size != n
            or y.shape[:1] != (n,)
            or y.dtype.kind not in "biuf"
            or (y != y.round()).any()
        ):
            raise GdlError(
                f"{name} in {path} has shape {y.shape} and type {y.dtype}, but the labels of {n} "
                f"images are whole numbers of shape ({n},)."
            )
        parts.append(y.reshape(n).astype(np.int64))
    return np.concatenate(parts)
