"""The images below a folder of the user's, as a data set."""

from collections.abc import Mapping, Sequence
from typing import Any

from gdl.data.arguments import checked_path
from gdl.data.building import Images, Rows, build
from gdl.data.cache import Entry
from gdl.data.listing import list_images
from gdl.data.parallel_decoding import Job, Outcome, decode_all
from gdl.data.splits import Division, class_labels, named_splits
from gdl.data.stored import StoredData, checked_white, image_shape, progress_bar
from gdl.errors import GdlError

__all__ = ["Folder"]


class Folder(StoredData):
    """All images below a folder, with 256 levels, decoded once.

    An image is turned upright by its EXIF orientation, put on white where it is transparent,
    converted to RGB or grey, scaled to cover `shape` and cropped at its centre. Files that are not
    read, for any reason, are counted and named.

    Folders train/, valid/ or val/, and test/ are the splits. Folders below them, or below `root`, that
    hold all images are classes, and their numbers in alphabetic order the labels; a folder "unlabelled"
    among them holds images of no known class.

    Args:
        root: The folder; sub-folders count too, also linked ones.
        shape: (C, H, W) of the images, C = 1 or 3.
        size: None keeps the sizes of the images, and an image of another size than `shape` is an
            error; a number scales and crops them to `shape`. The number itself is used only in the
            configuration, where `shape` refers to it.
        channels: Used only in the configuration, where `shape` refers to it.
        split: Names of the folders of the splits, see `Division`, or "random" for one that does not
            look at folders.
        val_fraction: Fraction of the images held out for validation, at least one image, if no folder
            says which.
        test_fraction: The same for testing.
        split_seed: Seed of the random choice of these images.
        white: Of files with 16 bits, the value that becomes 255; "auto" takes the largest that
            is found.
        **kwargs: See `ImageData`.

    Raises:
        GdlError: There is no such folder, or an argument is out of range.
    """

    has_names = True

    def __init__(
        self,
        root: str,
        shape: Sequence[int | None],
        size: int | None = 64,
        channels: int = 3,
        split: str | Mapping[str, Any] | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        white: int | str | None = "auto",
        **kwargs: Any,
    ) -> None:
        checked = image_shape(shape)
        super().__init__(shape=checked, **kwargs)
        self.division = Division(split, val_fraction, test_fraction, split_seed)
        self.white = checked_white(white)
        self.root, self.resize = checked_path("data.root", root), size is not None
        if not self.root.is_dir():
            raise GdlError(f"There is no folder {self.root}: set data.root to one with images.")
        for name in self.division.names.values():
            if not (self.root / name).is_dir():
                raise GdlError(
                    f"There is no folder {self.root / name}: data.split names folders in data.root."
                )

    def open(self) -> Entry:
        """Return the decoded images; see `StoredData.open`."""
        found = list_images(self.root, self.cache)
        splits = named_splits([file.name for file in found.files], self.division)
        if splits is not None:
            outside = [f.name for f, (s, _) in zip(found.files, splits, strict=True) if not s]
            found.left_out += [f"{name} (in no folder of a split)" for name in outside]
            found.files = [f for f, (s, _) in zip(found.files, splits, strict=True) if s]
            splits = [both for both in splits if both[0]]
        names = [file.name for file in found.files]
        labelled = class_labels(names if splits is None else [rest for _, rest in splits])
        labels, self.class_names = ((), None) if labelled is None else labelled

        def decode(indices: Sequence[int], rows: Rows, white: int | None) -> list[Outcome]:
            sources = [str(self.root / names[i]) for i in indices]
            at = [rows.of[i] for i in indices]
            shape: Any = self.shape
            job = Job(str(rows.target), rows.offset, shape, self.resize, white, sources, at)
            with progress_bar(f"decoding {self.root}", len(sources)) as progress:
                return decode_all(job, progress)

        images = Images(
            where=str(self.root),
            names=names,
            splits=None if splits is None else [split for split, _ in splits],
            labels=labels or None,
            decode=decode,
        )
        entry = self._stored(
            str(self.root.resolve()),
            # entries of versions in which "unlabelled" was a class are not read
            (self.resize, self.white, str(self.division), *({-1} & {*labels})),
            found.files,
            lambda folder: build(images, folder, self.shape, self.division, self.white),
        )
        self._say(entry, str(self.root), f" of {found.total} files", found.left_out)
        return entry
