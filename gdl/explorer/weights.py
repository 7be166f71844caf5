"""Weights in 16 bits, as text."""

import base64
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["most_exact", "packed", "rounded"]

SMALL = 512
"""Numbers of a tensor, such as a bias, that are kept in 32 bits at most."""

SMALL_MODEL = 5_000
"""Numbers of a model whose tensors are all kept in 32 bits at most."""

SMALL_MODEL_OF_VECTORS = 150_000
"""The same of vectors, whose page has no pictures: so its log-densities are those of the model."""

LARGEST = 15
"""Exponent that no scaled number reaches; a half of 2^16 would be infinite."""


def most_exact(shape: Sequence[int]) -> int:
    """Return how many numbers a model of images or vectors (D,) may have to be kept in 32 bits."""
    return SMALL_MODEL_OF_VECTORS if len(shape) == 1 else SMALL_MODEL


def rounded(tensors: Sequence[Tensor], most: int | None = None) -> list[Tensor]:
    """Return tensors as the page has them, in float32; `most` is that of `packed`."""
    exact = _exact(tensors, most)
    halves = [_half(t) for t in tensors]
    return [
        t.detach().float().cpu() if e else (half.double() * scale).float()
        for t, e, (half, scale) in zip(tensors, exact, halves, strict=True)
    ]


def packed(tensors: Sequence[Tensor], most: int | None = None) -> dict[str, Any]:
    """Return tensors as {"specs": [[shape, scale], ...], "data": base64}, all in this order.

    Tensors of at most `most` numbers together, see `most_exact`, are all kept in 32 bits.

    The data are first all tensors of scale 0, in 32 bits, then all others as halves, which are to be
    multiplied by the scale, little-endian. A page is bounded by 2.7 bytes for a number, and halves are
    2.67 as text; small tensors are kept exactly, since they cost nothing.
    """
    exact = _exact(tensors, most)
    specs, floats, halves = [], [], []
    for tensor, is_exact in zip(tensors, exact, strict=True):
        half, scale = _half(tensor)
        specs.append([[*tensor.shape], 0 if is_exact else scale])
        if is_exact:
            floats.append(tensor.detach().float().cpu().numpy().astype("<f4").tobytes())
        else:
            halves.append(half.numpy().astype("<f2").tobytes())
    return {"specs": specs, "data": base64.b64encode(b"".join(floats + halves)).decode()}


def _exact(tensors: Sequence[Tensor], most: int | None) -> list[bool]:
    """Return which tensors are kept in 32 bits."""
    small = sum(t.numel() for t in tensors) <= (SMALL_MODEL if most is None else most)
    return [small or t.numel() <= SMALL for t in tensors]


def _half(tensor: Tensor) -> tuple[Tensor, float]:
    """Return a tensor divided by a power of two, as halves, and that power.

    The largest number has the largest exponent of a half, so that small ones keep all their bits.
    """
    t = tensor.detach().double().cpu()
    largest = float(t.abs().max()) if t.numel() else 0.0
    scale = math.ldexp(1.0, math.frexp(largest)[1] - LARGEST) if largest else 1.0
    return (t / scale).to(torch.float16), scale
