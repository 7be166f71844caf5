"""Coding with an autoregressive model, position by position through its `steps`."""

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gdl.coding.tables import tables
from gdl.errors import GdlError
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.progress import Counter

__all__ = ["BATCH", "Coder", "code_behind", "code_images", "code_sequences"]

BATCH = 256
"""Images that are coded together."""


class Coder(Protocol):
    """Writes symbols, or reads them."""

    def code(self, table: np.ndarray, symbols: Any) -> Tensor:
        """Return symbols (n,) with the tables (n, L): those that are given, or None to be read."""
        ...


def code_images(
    model: AutoregressiveModel,
    coder: Coder,
    n: int,
    batch: int,
    images: Tensor | None = None,
) -> Tensor:
    """Write n images with a range encoder, or read them with a range decoder; return them.

    Both run the same code on the same numbers. The encoder, too, shows the model only what it has
    written already, so what is read is what was written, even if the model looks ahead.

    Args:
        model: The model.
        coder: Writes or reads.
        n: Number of images.
        batch: Images that are coded together.
        images: (n, C, H, W) uint8, to be written.

    Raises:
        GdlError: The model's `steps` leave positions out.
    """
    coded = []
    with Counter(n, "coding") as counter:
        for start in range(0, n, batch):
            stop = min(start + batch, n)
            size = stop - start
            given = None if images is None else model.sequence(images[start:stop])
            # of a conditional model only one with parameters for images without a label comes here
            y = torch.full((size,), model.num_classes) if model.label_dropout else None
            coded.append(model.image(code_sequences(model, coder, size, given, y)))
            counter.show(stop)
    return torch.cat(coded)


def code_sequences(
    model: AutoregressiveModel,
    coder: Coder,
    n: int,
    given: Tensor | None,
    y: Tensor | None,
) -> Tensor:
    """Return the sequences (n, N, V) uint8 that are written or read, given rows y (n,) of labels.

    Raises:
        GdlError: The model's `steps` leave positions out.
    """
    nothing = torch.zeros(n, 0, model.values, dtype=torch.uint8)
    return code_behind(model, coder, nothing, model.num_positions, given, y)


def code_behind(
    model: AutoregressiveModel,
    coder: Coder,
    prefix: Tensor,
    end: int,
    given: Tensor | None,
    y: Tensor | None,
) -> Tensor:
    """Write or read the positions from t up to `end` behind a known beginning; return all of them.

    Of the positions of a block, those can be coded whose predecessors the model knows: they were sent
    to it, or they are zero, which is what it guesses.

    Args:
        model: The model.
        coder: Writes or reads.
        prefix: Sequences (n, t, V) uint8 of the first t < end positions.
        end: At most N.
        given: The sequences (n, end, V) uint8 whose rest is written; None if it is read.
        y: The row (n,) of labels of each, see `label_rows`.

    Returns:
        The sequences (n, end, V) uint8.

    Raises:
        GdlError: The model's `steps` leave positions out.
    """
    n, done, values = prefix.shape
    s = torch.zeros(n, model.num_positions, values, dtype=torch.uint8)
    s[:, :done] = prefix
    steps = model.steps_from(prefix, y, naive=False)
    start, params = next(steps)
    while True:
        stop = start + params.shape[1]
        known = start <= done
        while known and done < min(stop, end):
            for c in range(values):
                pixel = params[:, done - start, :, None, None]
                earlier = s[:, done, :c, None, None]
                p = model.likelihood.probabilities(pixel, earlier).flatten(1)
                own = None if given is None else given[:, done, c]
                s[:, done, c] = coder.code(tables(p), own)
            known = not s[:, done].any()
            done += 1
        if done == end < model.num_positions:
            break
        try:
            start, params = steps.send(s[:, start:stop].clone())
        except StopIteration:
            break
    if done < end:
        raise GdlError(
            f"{type(model).__name__}.steps leaves positions out, so nothing can be coded with it."
        )
    return s[:, :end]
