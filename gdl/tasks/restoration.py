"""Images that have lost something, and what a model makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gdl.corruptions import Corruption, Seen
from gdl.data.decoding import read_image
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.pictures import Picture
from gdl.restoration.asked import corruption_of, empty
from gdl.restoration.choice import restorer_for
from gdl.restoration.observation import parts_of
from gdl.restoration.quality import psnr
from gdl.restoration.restorer import Restorer
from gdl.restoration.scoring import label_of, on_seen
from gdl.restoration.tiles import Tiled
from gdl.tasks.latents import Images, check_images

__all__ = ["restore"]

LARGE = 512
"""Pixels of a side of the tiles of a network that takes images of any size."""


@torch.inference_mode()
def restore(
    model: GenerativeModel,
    x: Images,
    corruption: Mapping[str, Corruption] | None = None,
    images: Sequence[str] | None = None,
    degrade: bool = True,
    n: int = 8,
    draws: int = 4,
    seed: int = 0,
) -> dict[str, Picture]:
    """Show images, what is left of them, and what the model makes of it.

    A model that draws shows several draws and their mean. PSNR in dB stands beside each row.

    Args:
        model: A model that restores images.
        x: Test images; image i loses the same as in measure=restoration.
        corruption: What they lose, one after the other; None for what the model was trained on.
        images: Image files of the user's own, of any size, instead of test images. Each makes two
            pictures: one beside the original, and the restored image alone.
        degrade: Whether the user's own images lose something first; false for images that have.
        n: Number of test images.
        draws: Draws of each image, of a model that draws.
        seed: Seeds them.

    Raises:
        GdlError: The model cannot, a file cannot be read, or an option does not fit.
    """
    check_images(model, "restore")
    for name, value in (("n", n), ("draws", draws)):
        if not isinstance(value, int) or value < 1:
            raise GdlError(f"task.{name} must be a whole number of at least 1, got {value!r}.")
    lost = corruption_of(model, corruption, "task=restore")
    restorer, levels = restorer_for(model, lost), _top(model) + 1
    if not images:
        if not degrade:
            raise GdlError("task.degrade=false is for your own images: add task.images=[a.png].")
        clean = x[:n].to(model.device).float() / (levels - 1)
        seen = on_seen(lost, clean)
        drawn = restorer(seen, draws=draws, seed=seed, indices=range(len(clean)))
        if _differ(drawn) and (note := getattr(restorer, "note", None)) is not None:
            print(f"note: {note}")
        return {"restored": _picture(model, lost, clean, seen, drawn)}
    any_size = bool(getattr(model, "takes_any_size", False))
    shape = (model.shape[0], *(LARGE,) * 2) if any_size else model.shape
    paths = [Path(file).expanduser() for file in images]
    several = len({path.stem for path in paths}) < len(paths)
    # all are read before the long work
    own = [_own(model, lost, path, degrade, i) for i, path in enumerate(paths)]
    found: dict[str, Picture] = {}
    for i, (path, (clean, seen)) in enumerate(zip(paths, own, strict=True)):
        small = any_size and max(seen.shape[1:]) <= LARGE
        way: Restorer = restorer if small else Tiled(restorer, lost, shape)
        drawn = way(seen, draws=draws, seed=seed, indices=[i])
        name = f"{path.stem}-{i}" if several else path.stem
        found[f"restored-{name}-beside"] = _picture(model, lost, clean, seen, drawn)
        found[f"restored-{name}"] = Picture(drawn.mean(0)[None] * (levels - 1))
    return found


def _differ(drawn: Tensor) -> bool:
    """Return whether there are several draws (draws, B, C, H, W) of an image."""
    return len(drawn) > 1 and not bool((drawn == drawn[:1]).all())


def _top(model: GenerativeModel) -> int:
    assert model.levels is not None
    return model.levels - 1


def _picture(
    model: GenerativeModel, corruption: Corruption, clean: Tensor | None, seen: Seen, drawn: Tensor
) -> Picture:
    """Return a row for each image: the original, what is left, draws and their mean."""
    columns = {} if clean is None else {"original": clean}
    columns["what is left"] = seen.image.clamp(0, 1)
    if _differ(drawn):
        columns |= {f"draw {k + 1}": y for k, y in enumerate(drawn)}
        columns["mean"] = drawn.mean(0)
    else:
        columns["restored"] = drawn[0]
    rows = ()
    if clean is not None:
        before, after = (psnr(y, clean).tolist() for y in (seen.image, drawn.mean(0)))
        rows = [f"{a:.1f} → {b:.1f} dB" for a, b in zip(before, after, strict=True)]
    pixels = torch.stack([*columns.values()], 1) * _top(model)
    return Picture(pixels, f"restoration of {label_of(corruption)}", rows, [*columns])


def _own(
    model: GenerativeModel, corruption: Corruption, file: Path, degrade: bool, index: int
) -> tuple[Tensor | None, Seen]:
    """Return an image (1, C, H, W) of the user's own and what is left of it, or only the latter.

    Raises:
        GdlError: The file cannot be read, is too small, or does not say what is missing.
    """
    factor = 1
    for part in parts_of(corruption):
        factor *= getattr(part, "factor", 1)
    if degrade:
        x = _read(model, file, model.shape[0])
        height, width = (side - side % factor for side in x.shape[2:])
        if not height or not width:
            raise GdlError(f"{file} has fewer than {factor} rows or columns: name a larger image.")
        if (height, width) != tuple(x.shape[2:]):
            print(f"note: {file} is cropped to {width}x{height} pixels, a multiple of {factor}.")
        x = x[..., :height, :width]
        return x, on_seen(corruption, x, index)
    blank = empty(corruption, model.shape)
    if blank.hole is not None:
        raise GdlError(
            f"{file} does not say which pixels are missing, so that {corruption.name} cannot be "
            "undone: leave out task.degrade=false, or use another corruption."
        )
    y = _read(model, file, blank.y.shape[1])
    shape = (model.shape[0], *(factor * side for side in y.shape[2:]))
    seen = empty(corruption, shape)
    to = lambda t: None if t is None else t.to(model.device)  # noqa: E731
    return None, replace(seen, y=y, known=to(seen.known), copied=to(seen.copied))


def _read(model: GenerativeModel, file: Path, channels: int) -> Tensor:
    """Return an image file (1, channels, H, W) in [0, 1] with the levels of the model."""
    x = read_image(file, (3,))
    coloured = bool((x != x[:1]).any())
    if channels == 1:
        if coloured:
            print(f"note: {file} has colours, which are not used: it is read as grey.")
            x = read_image(file, (1,))
        x = x[:1]
    elif not coloured:
        print(f"note: {file} is grey: it is read as equal red, green and blue.")
    levels = _top(model) + 1
    integers = x.int() * levels // 256
    return integers[None].to(model.device).float() / (levels - 1)
