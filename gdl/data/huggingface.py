"""A data set of the Hugging Face hub, or in one of its formats, through the library datasets."""

import importlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

from gdl.data.building import Images, Rows, build
from gdl.data.cache import Entry
from gdl.data.parallel_decoding import Outcome, decode_one, num_processes
from gdl.data.splits import Division, named_splits
from gdl.data.stored import StoredData, checked_white, image_shape, progress_bar
from gdl.errors import GdlError

__all__ = ["HuggingFace"]

BATCH = 256


class HuggingFace(StoredData):
    """Images of a data set of the hub, of a local folder, or of parquet files, with 256 levels.

    They are converted, scaled and cropped as those of `Folder`. Code of a data set never runs: the
    library reads plain formats only.

    Args:
        path: A name on the hub such as "ylecun/mnist", a folder with images or parquet files, a folder
            that `save_to_disk` wrote, or a parquet file.
        shape: (C, H, W) of the images, C = 1 or 3.
        subset: Which configuration of the data set, if it has several.
        revision: A commit, branch or tag on the hub.
        image: The column of the images; None for the only one.
        label: The column of the labels; None for the only column of classes, if there is one.
        size: See `Folder`.
        channels: See `Folder`.
        split: Names of the parts of the data set that are the splits, see `Division`, or "random".
        val_fraction: See `Folder`.
        test_fraction: See `Folder`.
        split_seed: See `Folder`.
        white: See `Folder`.
        **kwargs: See `ImageData`.

    Raises:
        GdlError: An argument is out of range.
    """

    has_names = True

    def __init__(
        self,
        path: str,
        shape: Sequence[int | None],
        subset: str | None = None,
        revision: str | None = None,
        image: str | None = None,
        label: str | None = None,
        size: int | None = 64,
        channels: int = 3,
        split: str | Mapping[str, Any] | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        white: int | str | None = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(shape=image_shape(shape), **kwargs)
        self.division = Division(split, val_fraction, test_fraction, split_seed)
        self.white = checked_white(white)
        self.path, self.subset, self.revision = str(path), subset, revision
        self.image, self.label, self.resize = image, label, size is not None

    def open(self) -> Entry:
        """Return the decoded images; see `StoredData.open`."""
        parts = self._open_parts()
        features = next(iter(parts.values())).features
        image, label = _image_column(features, self.image), _label_column(features, self.label)
        self.class_names = getattr(features.get(label), "names", None)
        kinds = named_splits([f"{part}/x" for part in parts], self.division)
        splits = dict.fromkeys(parts, "train")
        if kinds is not None:
            splits = {part: kind for part, (kind, _) in zip(parts, kinds, strict=True)}
        left_out = [f"part {part} (no split)" for part, split in splits.items() if not split]
        parts = {part: rows for part, rows in parts.items() if splits[part]}
        where = [(part, i) for part, rows in parts.items() for i in range(len(rows))]

        def encoded() -> Images:
            cells = _Cells(parts, image, where)
            return Images(
                where=self.path,
                names=[f"{part}[{i}]" for part, i in where],
                splits=None if kinds is None else [splits[part] for part, _ in where],
                labels=None
                if label is None
                else _labels([rows[label] for rows in parts.values()]),
                decode=lambda indices, rows, white: self._decode(cells, indices, rows, white),
            )

        entry = self._stored(
            self.path,
            (
                self.subset,
                self.revision,
                image,
                label,
                self.resize,
                self.white,
                str(self.division),
            ),
            [(part, len(rows), rows._fingerprint) for part, rows in parts.items()],
            lambda folder: build(encoded(), folder, self.shape, self.division, self.white),
        )
        self._say(entry, self.path, f" of {len(where)} rows", left_out)
        return entry

    def _open_parts(self) -> dict[str, Any]:
        """Return the parts of the data set, e.g. {"train": ..., "test": ...}.

        Raises:
            GdlError: It cannot be opened, or the library is missing.
        """
        try:
            datasets: Any = importlib.import_module("datasets")
        except ImportError as e:
            raise GdlError(
                "data=huggingface needs the library datasets: pip install 'gdl[hf]'."
            ) from e
        local = Path(self.path).expanduser()
        try:
            if any((local / name).is_file() for name in ("dataset_dict.json", "state.json")):
                opened = datasets.load_from_disk(str(local))
            elif local.is_file():
                opened = datasets.load_dataset("parquet", data_files=str(local))
            elif local.is_dir():
                opened = datasets.load_dataset(str(local), self.subset)
            elif not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", self.path):
                raise GdlError("there is no such file or folder")
            else:
                opened = datasets.load_dataset(self.path, self.subset, revision=self.revision)
        except Exception as e:  # the library raises almost anything
            raise GdlError(
                f"{self.path} cannot be opened as a data set ({' '.join(str(e).split())[:300]}): "
                "set data.path to a name on the Hugging Face hub, a folder or a parquet file, and "
                "data.subset if it has several configurations."
            ) from e
        parts = dict(opened) if isinstance(opened, dict) else {"train": opened}
        for name in self.division.names.values():
            if name not in parts:
                raise GdlError(
                    f"{self.path} has no part {name!r} as data.split asks for: it has "
                    f"{', '.join(parts)}."
                )
        return parts

    def _decode(
        self, cells: "_Cells", indices: Sequence[int], rows: Rows, white: int | None
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with (
            ThreadPoolExecutor(num_processes()) as pool,  # Pillow releases the lock of Python
            rows.target.open("r+b") as target,
            progress_bar(f"decoding {self.path}", len(indices)) as progress,
        ):
            for start in range(0, len(indices), BATCH):
                batch = indices[start : start + BATCH]
                decoded = pool.map(
                    lambda cell: _decode_cell(cell, self.shape, self.resize, white),
                    cells.get(batch),
                )
                for n, (i, (pixels, outcome)) in enumerate(zip(batch, decoded, strict=True)):
                    if pixels is not None:
                        target.seek(rows.offset + rows.of[i] * len(pixels))
                        target.write(pixels)
                    outcomes += [] if outcome is None else [(start + n, *outcome)]
                progress(len(batch))
        return outcomes


class _Cells:
    """The encoded images of several parts, each {"bytes": ..., "path": ...}."""

    def __init__(
        self, parts: Mapping[str, Any], image: str, where: Sequence[tuple[str, int]]
    ) -> None:
        datasets: Any = importlib.import_module("datasets")
        self._parts = {
            part: rows.select_columns([image]).cast_column(image, datasets.Image(decode=False))
            for part, rows in parts.items()
        }
        self._image, self._where = image, where

    def get(self, indices: Sequence[int]) -> list[Any]:
        """Return the cells of some images."""
        found: dict[int, Any] = {}
        for part, rows in self._parts.items():
            here = [k for k in indices if self._where[k][0] == part]
            if here:
                cells = rows[[self._where[k][1] for k in here]][self._image]
                found |= dict(zip(here, cells, strict=True))
        return [found[k] for k in indices]


def _decode_cell(
    cell: Any, shape: Sequence[int], resize: bool, white: int | None
) -> tuple[bytes | None, tuple[str, Any] | None]:
    content, path = (cell or {}).get("bytes"), (cell or {}).get("path")
    if content is not None:
        return decode_one(BytesIO(content), shape, resize, white)
    if path is None or not Path(path).is_file():
        return None, ("broken", "no image")
    return decode_one(str(path), shape, resize, white)


def _image_column(features: Mapping[str, Any], name: str | None) -> str:
    found = [key for key, kind in features.items() if type(kind).__name__ == "Image"]
    if name is None and len(found) == 1:
        return found[0]
    if name in found:
        return str(name)
    raise GdlError(
        f"data.image must name the column of the images, one of {', '.join(found) or 'none'}: the data "
        f"set has the columns {', '.join(features)}."
    )


def _label_column(features: Mapping[str, Any], name: str | None) -> str | None:
    found = [key for key, kind in features.items() if type(kind).__name__ == "ClassLabel"]
    if name is None:
        return found[0] if len(found) == 1 else None
    if name not in features:
        raise GdlError(f"There is no column data.label={name}: there are {', '.join(features)}.")
    return name


def _labels(columns: Sequence[Any]) -> list[int] | None:
    """Return the labels of all images; None if some have none, as in many test sets.

    Raises:
        GdlError: They are neither whole numbers nor texts.
    """
    values = [value for column in columns for value in column]
    if any(value is None or value == -1 for value in values):
        return None
    if all(isinstance(value, str) for value in values):
        classes = {name: i for i, name in enumerate(sorted(set(values)))}
        return [classes[value] for value in values]
    if not all(isinstance(value, int) for value in values):
        raise GdlError("The column data.label must hold whole numbers or names of classes.")
    return [int(value) for value in values]
