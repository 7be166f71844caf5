"""Bits per byte of a whole text, with a window that slides over it."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import Incapable, ScoresGiven, refuse
from gdl.coding import compressed_lengths
from gdl.data.alphabets import Alphabet, alphabet_of
from gdl.data.base import ImageData
from gdl.data.splits import SPLITS
from gdl.data.text_protocols import HasText
from gdl.errors import GdlError
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel

__all__ = ["stream", "stream_nats"]

BLOCKS = 50
"""Parts of the text over which the standard error is taken."""


@torch.inference_mode()
def stream(
    model: GenerativeModel,
    data: ImageData,
    stride: int | None = None,
    split: str = "test",
    batch_size: int = 500,
    limit: int | None = None,
) -> dict[str, float]:
    """Return the bits that a model takes for each byte of a whole text, beside general compressors.

    Each symbol counts once, given at least L - stride symbols before it, of windows of L symbols; only
    the first L symbols have fewer. Keys begin with stream-{stride}/, or stream-{stride}-{split}/ of
    another split than "test":

    - bits_per_byte: bits of the whole text, over its bytes in UTF-8; of bytes they are the symbols;
    - bits_per_character and nats_per_character: the same over its characters, of an alphabet of these;
    - bytes: how many bytes.

    The first ones also have a standard error, {key}_se, over about 50 consecutive parts of the text,
    each of whole strides. stream-codes/{name}, or stream-codes-{split}/{name}, are bits per byte of
    general compressors on the same bytes, each of them one stream and with no other text before it.

    windows-{L}/nats_per_symbol, or windows-{L}-{split}/nats_per_symbol, is another number, the mean
    over windows that follow one another and their symbols, each given those before it in its window
    only. Programs such as nanoGPT print it, over windows from random places.

    Args:
        model: A model that scores some pixels given others, in eval mode.
        data: A text.
        stride: Symbols by which the window moves, at most L; half of L by default. A smaller one gives
            more context, and takes more time.
        split: Of which split the text is.
        batch_size: Windows at a time.
        limit: Only so many symbols as the first so many windows of the split have.

    Raises:
        Incapable: The model does not score texts from left to right, or the data are no text.
        GdlError: There is no such split, or the stride does not fit.
    """
    if not isinstance(model, ScoresGiven):
        refuse(
            model, ScoresGiven, "measure=stream asks for scores of symbols given others", models
        )
    alphabet = alphabet_of(model.config)
    if alphabet is None or not isinstance(data, HasText) or model.shape[:2] != (1, 1):
        raise Incapable(
            "measure=stream asks for a text, and these are other data: use a run of data=text."
        )
    window = model.num_dims
    stride = max(1, window // 2) if stride is None else stride
    at_least_one("measure.stride", stride)
    if stride > window:
        raise GdlError(
            f"measure.stride={stride} is more than the model's window of {window}: use {window}."
        )
    if split not in SPLITS:
        raise GdlError(f"There is no measure.split={split}: use {', '.join(SPLITS)}.")
    at_least_one("batch_size", batch_size)
    text = data.stream(split)
    if limit is not None:
        at_least_one("limit", limit)
        text = text[: limit * window]
    name = "" if split == "test" else f"-{split}"
    nats, sizes = stream_nats(model, text, stride, batch_size)
    found = _rates(alphabet, text, nats, sizes, f"stream-{stride}{name}")
    each = nats[sizes == window]  # of windows that do not overlap, if the stride is theirs
    if stride < window:
        each, _ = stream_nats(model, text[: len(text) // window * window], window, batch_size)
    symbols = torch.full_like(each, window)
    found |= _ratio(f"windows-{window}{name}/nats_per_symbol", each, symbols)
    content = alphabet.content(text)
    for coder, size in compressed_lengths(content).items():
        found[f"stream-codes{name}/{coder}"] = 8 * size / len(content)
    return found


def stream_nats(
    model: GenerativeModel, text: Tensor, stride: int, batch_size: int = 500
) -> tuple[Tensor, Tensor]:
    """Return -log p (M,) in nats of the M consecutive parts of a text, and how many symbols each has.

    The first part has L symbols, the last at most `stride`, the others `stride`. They are scored given
    the symbols before them in the window of L that ends with them.

    Args:
        model: It scores some pixels of images (1, 1, L) given others.
        text: Symbols (T,) uint8, T >= L.
        stride: From 1 to L.
        batch_size: Windows at a time.

    Raises:
        Incapable: The model visits symbols in another order than that of the text.
        GdlError: The text is shorter than a window.
    """
    assert isinstance(model, ScoresGiven)
    window = model.num_dims
    if len(text) < window:
        raise GdlError(
            f"The text has {len(text):,} symbols, fewer than the model's window of {window:,}: measure "
            "a longer one."
        )
    prefixes = torch.ones(window, window, dtype=torch.bool, device=model.device).tril(-1)
    if not model.known_come_first(prefixes.view(window, *model.shape)):
        raise Incapable(
            "measure=stream asks for a model that reads from left to right, and this "
            f"{type(model).__name__} has another order: use a run with model.order=raster."
        )
    nats, sizes = [], []
    for windows, known in _windows(text, window, stride, batch_size):
        x = windows.reshape(-1, *model.shape).to(model.device)
        mask = prefixes[known].view(model.shape)
        nats.append(-model.log_prob_given(x, mask).double().cpu())
        sizes += len(x) * [window - known]
    return torch.cat(nats), torch.tensor(sizes)


def _windows(text: Tensor, window: int, stride: int, batch: int) -> Iterator[tuple[Tensor, int]]:
    """Yield windows (B, L), and how many of their first symbols were counted before."""
    yield text[None, :window], 0
    moved = text[stride:].unfold(0, window, stride) if len(text) >= window + stride else text[:0]
    for some in moved.split(batch) if len(moved) else ():
        yield some, window - stride
    if rest := (len(text) - window) % stride:
        yield text[None, -window:], window - rest


def _rates(
    alphabet: Alphabet, text: Tensor, nats: Tensor, sizes: Tensor, prefix: str
) -> dict[str, float]:
    """Return the numbers of a text whose parts have so many nats (M,) and symbols (M,)."""
    parts = text.cpu().split(sizes.tolist())
    in_bytes = torch.tensor([len(alphabet.content(part)) for part in parts]).double()
    bits = nats / math.log(2)
    found: dict[str, float] = _ratio(f"{prefix}/bits_per_byte", bits, in_bytes)
    if alphabet.characters is not None:
        found |= _ratio(f"{prefix}/bits_per_character", bits, sizes.double())
        found |= _ratio(f"{prefix}/nats_per_character", nats, sizes.double())
    return found | {f"{prefix}/bytes": int(in_bytes.sum())}


def _ratio(key: str, a: Tensor, b: Tensor) -> dict[str, float]:
    """Return sum a / sum b of parts (M,), and its standard error over blocks of neighbouring parts.

    The blocks are nearly equal in size, and the error is that of a ratio of means (Cochran, 1977,
    "Sampling techniques", Section 2.11). A single block has none.
    """
    ratio = float(a.sum() / b.sum())
    of = torch.arange(len(a)) * min(BLOCKS, len(a)) // len(a)
    n = int(of[-1]) + 1
    a, b = (torch.zeros(n, dtype=t.dtype).index_add_(0, of, t) for t in (a, b))
    if n == 1:
        return {key: ratio}
    error = ((a - ratio * b).square().sum() * n / (n - 1)).sqrt() / b.sum()
    return {key: ratio, f"{key}_se": float(error)}
