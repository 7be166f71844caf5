"""Large matrix products on a CPU, by the library that is faster there.

torch multiplies float matrices on a CPU with Intel's MKL, which on AMD's processors takes about twice
as long as oneDNN, the library of torch's convolutions. There these functions call oneDNN where a
product is large enough to repay its 10 microseconds per call.
"""

import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LARGE", "addmm", "linear", "mm", "relu_addmm", "row_product"]

SMALLEST = 2**21
"""Multiplications of the smallest product for which oneDNN pays."""

LARGE = 200_000
"""Elements of a factor that is so large that oneDNN pays for any product with it."""

LARGE_FOR_A_ROW = 100_000
"""Elements of a matrix from which on a single row is multiplied by it in another way than rows are."""

REUSED = 128
"""How often each element of a copied factor is multiplied, at least, for the copy to pay."""


def mm(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return a @ b for two matrices, in `out` if it is given. It is not differentiable."""
    if not _pays(a, b):
        return torch.mm(a, b, out=out)
    y = _product(a, b, out)
    return y if out is None else out.copy_(y)


def addmm(bias: Tensor, a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return bias + a @ b; see `mm`."""
    if not _pays(a, b):
        return torch.addmm(bias, a, b, out=out)
    y = _product(a, b, out)
    return y.add_(bias) if out is None else torch.add(y, bias, out=out)


def relu_addmm(bias: Tensor, a: Tensor, b: Tensor, room: Tensor) -> Tensor:
    """Return max(0, bias + a @ b) for a bias (N, 1); its memory may be `room`, of the same shape."""
    if _is_transposed(b) and _is_transposed(room) and _pays(a, b):
        return _onednn(b.t(), a, bias.squeeze(1), "relu").t()
    return addmm(bias, a, b, out=room).relu_()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x W^T + b for x (..., M), W (N, M) and b (N,); it is differentiable."""
    if (
        torch.is_autocast_enabled("cpu")
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or not _is_large(x, weight.t())
        or weight.dtype != x.dtype
    ):
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias)  # pyright: ignore[reportReturnType]


def row_product(weight: Tensor, bias: Tensor | None, rows: int) -> Callable[[Tensor], Tensor]:
    """Return the function x -> x W^T + b of that many rows x (rows, M), which is called many times.

    For a single row the product takes the time in which the weights are read. On AMD's processors MKL
    reads columns faster than rows, and torch's kernel for sums of weighted rows of a matrix reads large
    ones two to three times as fast as MKL. So W is copied; the result is not differentiable.
    """
    if (
        rows != 1
        or torch.is_grad_enabled()
        or weight.device.type != "cpu"
        or weight.dtype != torch.float32
        or not _prefers_onednn()
    ):
        return lambda x: F.linear(x, weight, bias)
    columns = weight.t().contiguous()
    if bias is None:
        return lambda x: torch.mm(x, columns)
    if weight.numel() < LARGE_FOR_A_ROW:
        return lambda x: torch.addmm(bias, x, columns)
    every, first = torch.arange(len(columns)), torch.zeros(1, dtype=torch.long)
    plain = False, 0, False  # by frequency, mode "sum", sparse
    return lambda x: torch.embedding_bag(columns, every, first, *plain, x[0])[0].add_(bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        y = _onednn(x.reshape(-1, x.shape[-1]), weight, bias)
        return y.view(*x.shape[:-1], len(weight))

    @staticmethod
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (g,), (x, weight), needed = gs, ctx.saved_tensors, ctx.needs_input_grad
        g, x_ = g.reshape(-1, g.shape[-1]), x.reshape(-1, x.shape[-1])
        # with a graph of the backward pass, for second derivatives, it has to be differentiable
        product = torch.mm if torch.is_grad_enabled() else mm
        g_x = product(g, weight).view_as(x) if needed[0] else None
        g_weight = product(g.t(), x_) if needed[1] else None
        return g_x, g_weight, g.sum(0) if needed[2] else None


def _pays(a: Tensor, b: Tensor) -> bool:
    """Return whether oneDNN is faster for a @ b, of which it may have to copy a factor."""
    if not (_is_large(a, b) and _is_dense(a) and _is_dense(b)):
        return False
    copies = not (a.is_contiguous() or _is_transposed(b))
    return not copies or max(len(a), b.shape[1]) >= REUSED


def _is_large(a: Tensor, b: Tensor) -> bool:
    """Return whether oneDNN is faster for the product of a (..., M) with b (M, columns)."""
    return (
        (a.numel() * b.shape[1] >= SMALLEST or max(a.numel(), b.numel()) >= LARGE)
        and a.device.type == "cpu"
        and a.dtype == torch.float32
        and _prefers_onednn()
    )


@cache
def _prefers_onednn() -> bool:
    """Return whether this machine's processor is AMD's, and torch has oneDNN."""
    if not torch.backends.mkldnn.is_available():
        return False
    info = Path("/proc/cpuinfo")
    return "AuthenticAMD" in (info.read_text() if info.exists() else platform.processor())


def _is_dense(a: Tensor) -> bool:
    """Return whether a matrix has no gaps, as a part of another one has."""
    return a.is_contiguous() or a.t().is_contiguous()


def _is_transposed(b: Tensor) -> bool:
    return b.t().is_contiguous() and not b.is_contiguous()


def _product(a: Tensor, b: Tensor, out: Tensor | None) -> Tensor:
    """Return a @ b in the layout of `out`, if it has one; of two factors with gaps copy the smaller."""
    if _is_transposed(b) and (not a.is_contiguous() or (out is not None and _is_transposed(out))):
        return _onednn(b.t(), a).t()
    if a.is_contiguous() or a.numel() <= b.numel():
        return _onednn(a, b.t())
    return _onednn(b.t(), a).t().contiguous()


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None, then: str = "none") -> Tensor:
    """Return x W^T + b."""
    if not _is_dense(weight):
        weight = (
            weight.contiguous()
        )  # for one with gaps oneDNN has only a loop, 1,000 times as slow
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], "")
