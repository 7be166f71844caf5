"""Draws of texts that are longer than the window of the model, symbol by symbol.

A model of windows (1, 1, N) has p(x_i | x_<i) for up to N - 1 earlier symbols. Where a text is
longer, a window is left as soon as it is full: the next one starts with the last N // 2 symbols. So
symbol t is drawn from the model's own conditional

    p(x_t | x_s, ..., x_{t-1}) = the conditional at position t - s of a window that starts at s,

with s = 0 for t < N, and else the first multiple of N - N // 2 above t - N, see `window_start`. That
is the text recomputed with a truncated context of N // 2 to N - 1 symbols. It holds for every
autoregressive model, for learned and for rotary positions, and a window that slides by N - N // 2
scores texts so.

A ring buffer of keys and values that drops the oldest token at each step is something else: from the
second block on, the keys that stay were computed from tokens that have left, and rotary positions
would be farther apart than in training (Xiao et al., 2024, "Efficient streaming language models with
attention sinks", arXiv 2309.17453, on how that fails). Here a new window costs one pass over N // 2
symbols, once in N - N // 2 symbols.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gdl.distributions import Likelihood, Truncated
from gdl.errors import GdlError
from gdl.families.ancestral import PositionSteps, drawn
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.drawing import Drawing
from gdl.noise import SampleNoise

__all__ = ["check_left_to_right", "continuations", "window_start"]


def window_start(t: int, length: int) -> int:
    """Return where the window begins from which symbol t is predicted, of windows of that length.

    >>> [window_start(t, 4) for t in range(9)]
    [0, 0, 0, 0, 2, 2, 4, 4, 6]
    """
    stride = length - length // 2
    return 0 if t < length else -(-(t - length + 1) // stride) * stride


def continuations(
    model: AutoregressiveModel,
    n: int,
    prompt: Tensor,
    how: Drawing,
    *,
    label: int | Tensor | None = None,
    indices: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """Yield the symbols (n,) uint8 that follow a prompt in n draws, one after the other, without end.

    Draw k depends on (seed, indices[k]) and the prompt only. Up to the end of the first window it is
    that of `sample_given`.

    Args:
        model: A model of windows (1, 1, N), in their order.
        n: Number of draws.
        prompt: Symbols (T,) uint8, or of each draw (n, T); T may be 0, or more than N.
        how: The seed, and how symbols are drawn.
        label: See `AutoregressiveModel.sample_given`; without one it is drawn given the last window of
            the prompt.
        indices: The index of each draw in the set of that seed; by default 0 to n - 1.

    Raises:
        GdlError: The model is one of images in two dimensions, visits them in another order, or is a
            mixture over orders; or an argument is out of range.
    """
    check_left_to_right(model)
    draws = how.of(model.likelihood)
    own, length = list(range(n) if indices is None else indices), model.num_positions
    text = prompt.to(model.device).expand(n, prompt.shape[-1])
    context = text[:, window_start(text.shape[1], length) :, None]
    y = _rows(model, context, own, how.seed, label)
    return _symbols(model, context, y, how, draws, own)


@torch.no_grad()
def _symbols(
    model: AutoregressiveModel,
    context: Tensor,
    y: Tensor | None,
    how: Drawing,
    draws: Likelihood | Truncated,
    indices: list[int],
) -> Iterator[Tensor]:
    """Yield the symbols (n,) that follow the context (n, T, 1) of the first window."""
    length = model.num_positions
    kept = length // 2
    source = SampleNoise(how.seed, indices, model.device, model.dtype)
    noise, first = draws.noise(source, length, 1), 0  # the position that the noise begins at
    while True:
        steps = model.steps_from(context, y, how.naive)
        scaled = how.temperature * noise.squeeze(-1).movedim(2, 0)
        for values in _window(steps, draws, scaled[context.shape[1] - first :]):
            context = torch.cat([context, values], 1)
            yield from values.squeeze(-1).unbind(1)
        context = context[:, length - kept :]
        noise, first = draws.noise(source, length - kept, 1), kept


def _window(
    steps: PositionSteps, draws: Likelihood | Truncated, noise: Tensor
) -> Iterator[Tensor]:
    """Yield the values (n, T, V) of the positions of a window as they become final."""
    start, params = next(steps)
    begin = start
    while True:
        stop = start + params.shape[1]
        values = drawn(draws, params, noise[start - begin : stop - begin])
        before = start
        try:
            start, params = steps.send(values)
        except StopIteration:
            yield values
            return
        if start > before:
            yield values[:, : start - before]


def check_left_to_right(model: AutoregressiveModel) -> None:
    """Check that a model goes through texts of any length symbol by symbol.

    Raises:
        GdlError: It does not; the message names the fix.
    """
    if model.shape[:2] != (1, 1):
        raise GdlError(
            f"A text goes on behind its window, but this model is one of images {model.shape}: use a "
            "model of data=text."
        )
    if not torch.equal(model.order.cpu(), torch.arange(model.num_positions)):
        raise GdlError(
            "A text goes on in its order, and this model has another: use order=raster."
        )
    if len(model.orders) > 1 or getattr(model, "num_masks", 1) > 1:
        raise GdlError(
            f"This {type(model).__name__} is a mixture over masks, each of which knows a window only: "
            "use model.num_masks=1."
        )


def _rows(
    model: AutoregressiveModel,
    context: Tensor,
    indices: list[int],
    seed: int,
    label: int | Tensor | None,
) -> Tensor | None:
    """Return the rows (n,) of labels, see `label_rows`; those that are not given are drawn."""
    y = model.checked_labels(label, len(context))
    given = torch.zeros(len(context), *model.shape, dtype=torch.uint8, device=model.device)
    known = torch.zeros_like(given, dtype=torch.bool)
    given[:, 0, 0, : context.shape[1]] = context[..., 0]
    known[:, 0, 0, : context.shape[1]] = True
    return model.rows_given(y, indices, given, known, seed)
