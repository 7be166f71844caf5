"""The operations that the page knows, in PyTorch: what each of them means.

`page/ops.js` has the same table in JavaScript; tests compare the two in a browser. An operation takes
values (B, ...), then tensors and plain options by name.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gdl.explorer.flow_ops import FLOW_OPS

__all__ = ["OPS"]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x W^T + b, (..., out), of x (..., in)."""
    return F.linear(x, weight, bias)


def _conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0
) -> Tensor:
    """Return the convolution (B, O, H', W') of x (B, I, H, W), zeros around it."""
    return F.conv2d(x, weight, bias, stride, padding)


def _affine(x: Tensor, scale: float, shift: float) -> Tensor:
    return x * scale + shift


def _clamp(x: Tensor, low: float, high: float) -> Tensor:
    return x.clamp(low, high)


def _add_tensor(x: Tensor, tensor: Tensor) -> Tensor:
    """Return x (B, ...) + tensor (...)."""
    return x + tensor


def _rows(y: Tensor, tensor: Tensor) -> Tensor:
    """Return the rows (B, ...) of a tensor (N, ...) that whole numbers y (B,) name."""
    return tensor[y.long()]


def _reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return x as (B, *shape)."""
    return x.reshape(len(x), *shape)


def _concat(*x: Tensor) -> Tensor:
    """Return values (B, C, ...) one after the other in dimension 1."""
    return torch.cat(x, 1)


def _narrow(x: Tensor, start: int, length: int) -> Tensor:
    """Return a part of dimension 1."""
    return x.narrow(1, start, length)


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return x (B, C, H, W) in another size, each pixel the nearest as `F.interpolate` takes it."""
    return F.interpolate(x, size=tuple(size))


def _add(a: Tensor, b: Tensor) -> Tensor:
    return a + b


OPS: dict[str, Callable[..., Tensor]] = {
    "linear": _linear,
    "conv2d": _conv2d,
    "relu": F.relu,
    "silu": F.silu,
    "elu": F.elu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "add": _add,
    "add_tensor": _add_tensor,
    "affine": _affine,
    "clamp": _clamp,
    "rows": _rows,
    "reshape": _reshape,
    "concat": _concat,
    "narrow": _narrow,
    "resize": _resize,
    "pixel_shuffle": lambda x, factor: F.pixel_shuffle(x, factor),
    "pixel_unshuffle": lambda x, factor: F.pixel_unshuffle(x, factor),
    **FLOW_OPS,
}
"""Every operation by its name in a graph."""
