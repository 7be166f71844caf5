"""Decodes images into an entry of the cache, whatever they come from."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gdl.data.cache import create_array, open_array
from gdl.data.parallel_decoding import Outcome
from gdl.data.splits import SPLITS, Division, divide
from gdl.data.stored import NAMES, in_order, sizes_of, write_rows
from gdl.errors import GdlError

__all__ = ["Images", "Rows", "build"]


@dataclass(frozen=True)
class Rows:
    """Where decoded images go: image i is number of[i] of the array that starts at the offset."""

    target: Path
    offset: int
    of: Mapping[int, int]


@dataclass(frozen=True)
class Images:
    """Encoded images.

    Args:
        where: What they are from, for people.
        names: The name of each.
        splits: The split of each, or None.
        labels: The label of each, or None.
        decode: Called with the indices of some images, with `Rows` to write to, and with what is white.
    """

    where: str
    names: Sequence[str]
    splits: Sequence[str] | None
    labels: Sequence[int] | None
    decode: Callable[[Sequence[int], Rows, int | None], list[Outcome]]


def build(
    images: Images,
    folder: Path,
    shape: tuple[int, ...],
    division: Division,
    white: int | None,
) -> dict[str, Any]:
    """Write images.npy, labels.npy and the names into a folder; return sizes of the splits, and facts.

    The images stand in the order of the splits, so that a split is a part of the file.

    Args:
        images: The images.
        folder: Where the entry is written.
        shape: (C, H, W).
        division: How they are divided into splits.
        white: See `decode_image`; None takes the largest value of all images with 16 bits.

    Raises:
        GdlError: There are too few images, too little space, or sizes that differ.
    """
    everything = range(len(images.names))
    chosen = _divide(images, everything, division)
    order = torch.cat([chosen[name] for name in SPLITS]).tolist()
    target = folder / "images.npy"
    offset = create_array(target, (len(order), *shape))
    rows = Rows(target, offset, {i: row for row, i in enumerate(order)})
    outcomes = images.decode(order, rows, white)
    broken = {order[i]: str(why) for i, what, why in outcomes if what == "broken"}
    _check_sizes(Counter(tuple(hw) for _, what, hw in outcomes if what == "sized"), images, shape)
    largest = {order[i]: int(value) for i, what, value in outcomes if what == "deep"}
    if largest and white is None:
        white = max(1, *largest.values())
        images.decode([i for i, n in largest.items() if n != white], rows, white)
    if broken:
        readable = [i for i in everything if i not in broken]
        chosen = _leave_out(images, readable, rows, shape, division)
    (folder / NAMES).write_text(
        json.dumps([images.names[i] for i in in_order(chosen)], allow_nan=False)
    )
    if images.labels is not None:
        np.save(folder / "labels.npy", np.asarray(images.labels, np.int64)[in_order(chosen)])
    facts: dict[str, Any] = {"images": len(order) - len(broken), "skipped_files": len(broken)}
    facts["skipped_first"] = [f"{images.names[i]} ({broken[i]})" for i in sorted(broken)[:5]]
    facts |= {"white": white} if largest else {}
    facts |= (
        {} if images.labels is None else {"classes": len({y for y in images.labels if y >= 0})}
    )
    return {"sizes": sizes_of(chosen), "facts": facts}


def _divide(images: Images, indices: Sequence[int], division: Division) -> dict[str, torch.Tensor]:
    """Return which images are in each split, as if only these existed."""
    splits = len(indices) if images.splits is None else [images.splits[i] for i in indices]
    chosen = divide(splits, division, images.where)
    return {name: torch.tensor(indices)[part] for name, part in chosen.items()}


def _check_sizes(others: Counter[tuple[int, ...]], images: Images, shape: tuple[int, ...]) -> None:
    if not others:
        return
    listing = ", ".join(f"{h}x{w} ({n} images)" for (h, w), n in others.most_common(5))
    raise GdlError(
        f"{others.total()} images of {len(images.names)} in {images.where} have other sizes than "
        f"{shape[1]}x{shape[2]}, which data.size=null asks for: {listing}. Set data.size=64 to scale "
        "and crop them."
    )


def _leave_out(
    images: Images,
    readable: list[int],
    rows: Rows,
    shape: tuple[int, ...],
    division: Division,
) -> dict[str, torch.Tensor]:
    """Write images.npy again without the rows of broken files, since these change the splits."""
    whole = rows.target.rename(rows.target.with_name("whole.npy"))
    x = open_array(whole, "r")
    at = [rows.of[i] for i in readable]
    blocks = (np.asarray(x[at[k : k + 1000]]) for k in range(0, len(at), 1000))
    splits = len(readable) if images.splits is None else [images.splits[i] for i in readable]
    chosen = write_rows(rows.target.parent, blocks, shape, splits, division, images.where)
    whole.unlink()
    return {name: torch.tensor(readable)[part] for name, part in chosen.items()}
