"""The operations that the page knows, in PyTorch: what each of them means.

`page/ops.js` has the same table in JavaScript; tests compare the two in a browser. An operation takes
values (B, ...), then tensors and plain options by name. Dimensions count from the batch, which is 0.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["OPS"]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x W^T + b, (..., out), of x (..., in)."""
    return F.linear(x, weight, bias)


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
) -> Tensor:
    """Return the convolution (B, O, H', W') of x (B, I, H, W), zeros around it.

    Args:
        x: The maps.
        weight: (O, I, height, width).
        bias: (O,).
        stride: Down and across.
        padding: Zeros left, right, above and below, as of `F.pad`.
    """
    return F.conv2d(F.pad(x, tuple(padding)), weight, bias, tuple(stride))


def _softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x)), without a threshold from which on it is x."""
    return torch.logaddexp(x, torch.zeros_like(x))


def _affine(x: Tensor, scale: float, shift: float) -> Tensor:
    return x * scale + shift


def _clamp(x: Tensor, low: float, high: float) -> Tensor:
    return x.clamp(low, high)


def _add_tensor(x: Tensor, tensor: Tensor) -> Tensor:
    """Return x (B, ...) + tensor (...), of the shape of an example."""
    return x + tensor


def _mul_tensor(x: Tensor, tensor: Tensor) -> Tensor:
    """Return x (B, ...) * tensor (...), of the shape of an example."""
    return x * tensor


def _rows(y: Tensor, tensor: Tensor) -> Tensor:
    """Return the rows (B, ...) of a tensor (N, ...) that whole numbers y (B,) name."""
    return tensor[y.long()]


def _reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return x as (B, *shape); one number of the shape may be -1."""
    return x.reshape(len(x), *shape)


def _flatten(x: Tensor, start: int, end: int) -> Tensor:
    """Return x with the dimensions from start to end, both included, as one."""
    return x.flatten(start, end)


def _concat(*x: Tensor) -> Tensor:
    """Return values (B, C, ...) one after the other in dimension 1."""
    return torch.cat(x, 1)


def _narrow(x: Tensor, start: int, length: int) -> Tensor:
    """Return a part of dimension 1."""
    return x.narrow(1, start, length)


def _take(x: Tensor, order: Sequence[int]) -> Tensor:
    """Return the entries of dimension 1 in another order: entry i is x[:, order[i]]."""
    return x[:, list(order)]


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return x (B, C, H, W) in another size, each pixel the nearest as `F.interpolate` takes it."""
    return F.interpolate(x, size=tuple(size))


def _sum(x: Tensor) -> Tensor:
    """Return the sum (B,) of all but the batch."""
    return x.flatten(1).sum(1)


OPS: dict[str, Callable[..., Tensor]] = {
    "linear": _linear,
    "conv2d": _conv2d,
    "relu": F.relu,
    "leaky_relu": lambda x, slope: F.leaky_relu(x, slope),
    "silu": F.silu,
    "elu": lambda x, alpha=1.0: F.elu(x, alpha),
    "gelu": F.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": _softplus,
    "exp": torch.exp,
    "log": torch.log,
    "abs": torch.abs,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "maximum": torch.maximum,
    "add_tensor": _add_tensor,
    "mul_tensor": _mul_tensor,
    "affine": _affine,
    "clamp": _clamp,
    "rows": _rows,
    "reshape": _reshape,
    "flatten": _flatten,
    "concat": _concat,
    "narrow": _narrow,
    "take": _take,
    "resize": _resize,
    "pixel_shuffle": lambda x, factor: F.pixel_shuffle(x, factor),
    "pixel_unshuffle": lambda x, factor: F.pixel_unshuffle(x, factor),
    "softmax": lambda x, axis: x.softmax(axis),
    "logsumexp": lambda x, axis: x.logsumexp(axis),
    "sum": _sum,
}
"""Every operation by its name in a graph."""
