"""The symbols of a long text, with a window that slides over it.

It is cut into K parts of equal length, which are coded side by side as a batch: a step of the model
then gives K symbols. More parts take less time, but each begins without a context, which costs bits.
In a part, symbol t is coded with the model's conditional at position t - s of the window that starts at
s: the windows start at 0, S, 2 S, ..., and t belongs to the first one that has it. So at least N - S
symbols before it are known, of windows of N; those of `measure=stream` with the same stride S are the
same.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gdl.coding.autoregressive import Coder, code_behind
from gdl.coding.container import MAX_PARTS
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.progress import Counter

__all__ = ["code_symbols", "num_parts", "text_bits"]

SHORTEST, WINDOWS = 2000, 16
"""Symbols and windows of a part, at least, of a text that is cut: a start without a context costs 10 to
50 bits, which is below 1 % of a part."""

AT_ONCE = 2**14
"""Symbols of the windows of all parts together at most, which bounds the memory."""


@torch.inference_mode()
def text_bits(model: AutoregressiveModel, text: Tensor, stride: int) -> float:
    """Return -log2 p of a text (T,) uint8 in one part: the window slides over all of it.

    Up to rounding, a text coded with `parts=1` takes as many bits.
    """
    if not len(text):
        return 0.0
    assert model.levels is not None
    window, total = model.num_positions, len(text)
    count = 1 + -(-max(0, total - window) // stride)
    windows = F.pad(text, (0, window + (count - 1) * stride - total)).unfold(0, window, stride)
    place, nats = torch.arange(window), 0.0
    most = max(1, 2**22 // (window * model.levels))
    with Counter(count, "measuring") as counter:
        for start in range(0, count, most):
            x = windows[start : start + most, None, None].contiguous()
            first = torch.arange(start, start + len(x))[:, None]  # numbers of the windows
            counted = (first * stride + place < total) & (
                (place >= window - stride) | (first == 0)
            )
            each = model.position_log_probs(x, _no_labels(model, len(x)))
            nats -= float(each.double()[counted].sum())
            counter.show(start)
    return nats / math.log(2)


def code_symbols(
    model: AutoregressiveModel,
    coder: Coder,
    total: int,
    parts: int,
    stride: int,
    text: Tensor | None,
) -> Tensor:
    """Write a text (T,) uint8, or read one of `total` symbols; return it.

    Both run the same code on the same numbers, see `code_images`.
    """
    longest = -(-total // parts)
    sizes = [total // parts + (k < total % parts) for k in range(parts)]
    given = None if text is None else _rows(text, sizes, longest)
    s = torch.zeros(parts, longest, 1, dtype=torch.uint8)
    window, done, y = model.num_positions, 0, _no_labels(model, parts)
    coder = _Uneven(coder, longest, sizes.count(longest))
    with Counter(longest, "decoding" if text is None else "coding") as counter:
        while done < longest:
            first = max(0, done - window + stride)
            stop = min(first + window, longest)
            own = None if given is None else given[:, first:stop]
            known = s[:, first:done].clone()
            s[:, first:stop] = code_behind(model, coder, known, stop - first, own, y)
            done = stop
            counter.show(done)
    return torch.cat([row[:size] for row, size in zip(s.squeeze(-1), sizes, strict=True)])


class _Uneven:
    """Codes symbols of all parts, and the last one of the longer parts only, which come first."""

    def __init__(self, coder: Coder, longest: int, longer: int) -> None:
        self._coder, self._left, self._longer = coder, longest, longer

    def code(self, table: np.ndarray, symbols: Tensor | None) -> Tensor:
        self._left -= 1
        if self._left:
            return self._coder.code(table, symbols)
        found, n = torch.zeros(len(table), dtype=torch.uint8), self._longer
        found[:n] = self._coder.code(table[:n], None if symbols is None else symbols[:n])
        return found


def _rows(text: Tensor, sizes: list[int], longest: int) -> Tensor:
    """Return the parts of a text as rows (K, longest, 1), padded with zeros."""
    return torch.stack([F.pad(p, (0, longest - len(p))) for p in text.split(sizes)])[..., None]


def num_parts(total: int, window: int) -> int:
    """Return into how many parts a text of so many symbols is cut."""
    most = max(1, min(MAX_PARTS, AT_ONCE // window))
    return max(1, min(most, total // max(SHORTEST, WINDOWS * window)))


def _no_labels(model: AutoregressiveModel, n: int) -> Tensor | None:
    """Return the rows (n,) of texts without a label, see `label_rows`."""
    return torch.full((n,), model.num_classes) if model.label_dropout else None
