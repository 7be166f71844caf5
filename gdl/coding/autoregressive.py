"""Coding with an autoregressive model, position by position through its `steps`."""

import torch
from torch import Tensor

from gdl.coding.tables import RangeDecoder, RangeEncoder, tables
from gdl.errors import GdlError
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.progress import Counter

__all__ = ["BATCH", "code_images"]

BATCH = 256
"""Images that are coded together."""


def code_images(
    model: AutoregressiveModel,
    coder: RangeEncoder | RangeDecoder,
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
            given = None if images is None else model.sequence(images[start:stop])
            coded.append(model.image(_code_sequences(model, coder, stop - start, given)))
            counter.show(stop)
    return torch.cat(coded)


def _code_sequences(
    model: AutoregressiveModel,
    coder: RangeEncoder | RangeDecoder,
    n: int,
    given: Tensor | None,
) -> Tensor:
    """Return the sequences (n, N, V) uint8 that are written or read.

    Of the positions of a block, those can be coded whose predecessors the model knows: they were sent
    to it, or they are zero, which is what it guesses.

    Raises:
        GdlError: The model's `steps` leave positions out.
    """
    s = torch.zeros(n, model.num_positions, model.values, dtype=torch.uint8)
    done, steps = 0, model.steps(n)
    start, params = next(steps)
    while True:
        stop = start + params.shape[1]
        known = start <= done
        while known and done < stop:
            for c in range(model.values):
                pixel = params[:, done - start, :, None, None]
                earlier = s[:, done, :c, None, None]
                p = model.likelihood.probabilities(pixel, earlier).flatten(1)
                own = None if given is None else given[:, done, c]
                s[:, done, c] = coder.code(tables(p), own)
            known = not s[:, done].any()
            done += 1
        try:
            start, params = steps.send(s[:, start:stop].clone())
        except StopIteration:
            break
    if done < model.num_positions:
        raise GdlError(
            f"{type(model).__name__}.steps leaves positions out, so no image can be coded with it."
        )
    return s
