"""Weights in 16 bits, as text."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["packed", "rounded"]


def rounded(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors as the page has them, in float32."""
    return [_half(t)[0].float() * _half(t)[1] for t in tensors]


def packed(tensors: Sequence[Tensor]) -> dict[str, Any]:
    """Return tensors as {"specs": [{"shape", "scale", "dtype"}, ...], "data": base64}.

    "f2" are halves that are multiplied by a scale, so that the largest one uses the whole range; the
    bytes of all tensors follow one another, little-endian.
    """
    specs, parts = [], []
    for tensor in tensors:
        half, scale = _half(tensor)
        specs.append({"shape": [*tensor.shape], "scale": scale, "dtype": "f2"})
        parts.append(half.numpy().astype("<f2").tobytes())
    return {"specs": specs, "data": base64.b64encode(b"".join(parts)).decode()}


def _half(tensor: Tensor) -> tuple[Tensor, float]:
    """Return a tensor divided by a power of two, as halves, and that power."""
    t = tensor.detach().float().cpu()
    largest = float(t.abs().max()) if t.numel() else 0.0
    scale = float(2.0 ** np.floor(np.log2(largest))) if largest else 1.0
    return (t / scale).to(torch.float16), scale
