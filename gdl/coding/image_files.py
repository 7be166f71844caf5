"""Image files whose pixels are a model's images exactly, and names that stay in their folder."""

from collections import Counter
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath

import torch
from PIL import Image
from torch import Tensor

from gdl.coding.names import checked_names, free_paths
from gdl.data.decoding import UNREADABLE, decode_image, planes, reason
from gdl.data.listing import list_images
from gdl.errors import GdlError
from gdl.files import for_shell

__all__ = ["check_channels", "numbered", "read_images", "write_images"]


def read_images(
    paths: Iterable[str | Path], shape: Sequence[int], levels: int
) -> tuple[Tensor, list[str], list[str]]:
    """Return images (n, C, H, W) uint8 of files and folders, their names, and what was left out.

    A name is the path below the folder that was given, with the ending .png. The value v of a model
    with L levels is the grey, or the part of a colour, round(255 v / (L - 1)).

    Args:
        paths: Image files, and folders, which are searched with their sub-folders.
        shape: (C, H, W) that every image must have.
        levels: Number of values of a pixel.

    Raises:
        GdlError: A file cannot be turned into an image of the model without a loss, or its name
            cannot be kept.
    """
    check_channels(shape)
    found, left_out = _found(paths)
    stems = [str(PurePosixPath(name).with_suffix("")) for name, _ in found]
    often = Counter(stems)
    names = [
        # a.jpg and a.png in one folder keep their endings
        f"{stem if often[stem] == 1 else name}.png"
        for (name, _), stem in zip(found, stems, strict=True)
    ]
    checked_names(names, "The images", ".png")
    images = torch.zeros(len(found), *shape, dtype=torch.uint8)
    value_of = torch.full((256,), -1, dtype=torch.int16)
    value_of[_greys(levels).long()] = torch.arange(levels, dtype=torch.int16)
    for i, (_, path) in enumerate(found):
        values = value_of[_pixels(path, shape).long()]
        if values.min() < 0:
            raise GdlError(
                f"{for_shell(path)} has greys between the {levels} of the model, so it cannot be kept "
                "exactly: use a run with data.levels=256, or round the image first."
            )
        images[i] = values
    return images, names, left_out


def write_images(images: Tensor, folder: Path, names: Sequence[str], levels: int) -> list[Path]:
    """Write images (n, C, H, W) uint8 as PNG; see `free_paths` for what is refused."""
    check_channels(images.shape[1:])
    targets = free_paths(folder, names, ".png")
    pixels = _greys(levels)[images.long()].movedim(1, -1).squeeze(-1).numpy()
    for path, x in zip(targets, pixels, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = BytesIO()
        Image.fromarray(x).save(buffer, "png")
        with path.open("xb") as file:
            file.write(buffer.getvalue())
    return targets


def check_channels(shape: Sequence[int]) -> None:
    """Check that images can be files.

    Raises:
        GdlError: They have neither 1 nor 3 channels.
    """
    if shape[0] not in (1, 3):
        raise GdlError(
            f"The model's images have {shape[0]} channels, and image files have 1 or 3: use a run of "
            "grey or RGB images."
        )


def numbered(count: int) -> list[str]:
    """Return names of images that have none: 00000.png, 00001.png, ..."""
    return [f"{i:05}.png" for i in range(count)]


def _found(paths: Iterable[str | Path]) -> tuple[list[tuple[str, Path]], list[str]]:
    """Return (name, path) of the image files, and what is no image in the folders."""
    found: list[tuple[str, Path]] = []
    left_out: list[str] = []
    for path in map(Path, paths):
        if path.is_dir():
            listing = list_images(path)
            found += [(file.name, path / file.name) for file in listing.files]
            left_out += listing.left_out
        elif path.is_file():
            found.append((path.name, path))
        else:
            raise GdlError(f"There is no image or folder {for_shell(path)}.")
    return found, left_out


def _pixels(path: Path, shape: Sequence[int]) -> Tensor:
    """Return the pixels (C, H, W) uint8 of a file, if nothing is lost by that."""
    channels, height, width = shape

    def refuse(what: str) -> GdlError:
        return GdlError(f"{for_shell(path)} {what}.")

    try:
        with Image.open(path) as file:
            if getattr(file, "n_frames", 1) > 1:
                raise refuse("has several pictures, of which one would be kept: split it first")
            clear = file.has_transparency_data
            if clear and file.convert("RGBA").getchannel("A").getextrema()[0] != 255:
                raise refuse("is transparent, which would be lost: put it on a colour first")
        image, deep = decode_image(path, 3, None)
    except UNREADABLE as e:
        if isinstance(e, GdlError):
            raise
        raise refuse(f"cannot be read as an image ({reason(e)}): leave it out") from e
    if deep is not None:
        raise refuse("has 16 bits, of which 8 would be kept: convert it first")
    if image.size != (width, height):
        raise refuse(
            f"has {image.size[0]} x {image.size[1]} pixels, and the model takes images of {width} x "
            f"{height}: use a run that was trained on images of that size"
        )
    x = torch.frombuffer(bytearray(planes(image)), dtype=torch.uint8).view(3, height, width)
    if channels == 1 and not (torch.equal(x[0], x[1]) and torch.equal(x[0], x[2])):
        raise refuse("is in colour, and the model's images are grey: use a run of RGB images")
    return x[:channels]


def _greys(levels: int) -> Tensor:
    """Return the greys (levels,) uint8 that stand for the values of a pixel."""
    return (torch.arange(levels).double() * (255 / (levels - 1))).round().to(torch.uint8)
