"""Weights in 16 bits, as text."""

import base64
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["packed", "rounded"]

SMALL = 512
"""Numbers of a tensor, such as a bias, that are kept in 32 bits at most."""

SMALL_MODEL = 5_000
"""Numbers of a model whose tensors are all kept in 32 bits at most."""

LARGEST = 15
"""Exponent that no scaled number reaches; a half of 2^16 would be infinite."""


def rounded(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors as the page has them, in float32."""
    exact = _exact(tensors)
    halves = [_half(t) for t in tensors]
    return [
        t.detach().float().cpu() if e else (half.double() * scale).float()
        for t, e, (half, scale) in zip(tensors, exact, halves, strict=True)
    ]


def packed(tensors: Sequence[Tensor]) -> dict[str, Any]:
    """Return tensors as {"specs": [[shape, scale], ...], "data": base64}, all in this order.

    The data are first all tensors of scale 0, in 32 bits, then all others as halves, which are to be
    multiplied by the scale, little-endian. A page is bounded by 2.7 bytes for a number, and halves are
    2.67 as text; small tensors are kept exactly, since they cost nothing.
    """
    exact = _exact(tensors)
    specs, floats, halves = [], [], []
    for tensor, is_exact in zip(tensors, exact, strict=True):
        half, scale = _half(tensor)
        specs.append([[*tensor.shape], 0 if is_exact else scale])
        if is_exact:
            floats.append(tensor.detach().float().cpu().numpy().astype("<f4").tobytes())
        else:
            halves.append(half.numpy().astype("<f2").tobytes())
    return {"specs": specs, "data": base64.b64encode(b"".join(floats + halves)).decode()}


def _exact(tensors: Sequence[Tensor]) -> list[bool]:
    """Return which tensors are kept in 32 bits."""
    small = sum(t.numel() for t in tensors) <= SMALL_MODEL
    return [small or t.numel() <= SMALL for t in tensors]


def _half(tensor: Tensor) -> tuple[Tensor, float]:
    """Return a tensor divided by a power of two, as halves, and that power.

    The largest number has the largest exponent of a half, so that small ones keep all their bits.
    """
    t = tensor.detach().double().cpu()
    largest = float(t.abs().max()) if t.numel() else 0.0
    scale = math.ldexp(1.0, math.frexp(largest)[1] - LARGEST) if largest else 1.0
    return (t / scale).to(torch.float16), scale
