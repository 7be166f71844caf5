"""Texts that a model draws symbol by symbol, each up to its own stop."""

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.drawing import Drawing
from gdl.families.windows import continuations

__all__ = ["as_symbols", "ended", "growing", "without_stop"]


def growing(
    model: AutoregressiveModel,
    n: int,
    prompt: Tensor,
    how: Drawing,
    length: int,
    stop: bytes = b"",
    indices: Sequence[int] | None = None,
) -> Iterator[list[bytearray]]:
    """Yield what n draws have so far, a symbol in each byte, whenever they are one symbol longer.

    A draw ends with the stop, or at the length. The yielded list is the same each time.

    Args:
        model: See `continuations`, and so for `n`, `prompt`, `how` and `indices`.
        n: See `model`.
        prompt: See `model`.
        how: See `model`.
        length: Symbols of a draw at most, from 1 on.
        stop: Symbols that end a draw, of which they are the last; empty for none.
        indices: See `model`.

    Raises:
        GdlError: See `continuations`.
    """
    rows = [bytearray() for _ in range(n)]
    for values in islice(continuations(model, n, prompt, how, indices=indices), length):
        for row, value in zip(rows, values.tolist(), strict=True):
            if not ended(row, stop):
                row.append(value)
        yield rows
        if all(ended(row, stop) for row in rows):
            return


def ended(row: bytearray, stop: bytes) -> bool:
    """Return whether symbols, to which one is added at a time, have come to the stop."""
    return bool(stop) and row.endswith(stop)


def without_stop(row: bytearray, stop: bytes) -> bytearray:
    """Return symbols without the stop at their end, if there is one."""
    return row[: -len(stop)] if ended(row, stop) else row


def as_symbols(row: bytes | bytearray) -> Tensor:
    """Return symbols (T,) uint8."""
    return torch.tensor(list(row), dtype=torch.uint8)
