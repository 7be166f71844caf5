"""The matrix products in a computation, and what they alone would take.

Attention counts the half of its products that causality leaves, and a convolution counts as the
product of the same size.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gdl.kernels.products import mm

__all__ = ["Products", "gflop", "replay"]

Product = tuple[int, int, int, int]
"""Batch, M, K, N of a product (batch, M, K) @ (batch, K, N)."""


class Products(TorchDispatchMode):
    """Counts the matrix products of what runs inside."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[Product] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        # in inference mode the composite operations arrive as they are
        if name in ("mm", "addmm", "addmm_") or (name == "matmul" and args[0].dim() == 2):
            a, b = args[-2:]
            self.found[1, a.shape[0], a.shape[1], b.shape[1]] += 1
        elif name in ("bmm", "baddbmm"):
            a, b = args[-2:]
            self.found[(*a.shape, b.shape[2])] += 1
        elif name in ("convolution", "conv2d"):
            w = args[1]
            self.found[1, out.numel() // out.shape[1], w[0].numel(), w.shape[0]] += 1
        elif name == "convolution_backward":
            y, _, w = args[:3]
            m, k, n = y.numel() // y.shape[1], w[0].numel(), w.shape[0]
            to_input, to_weight, _ = args[-1]
            self.found[1, m, n, k] += to_input
            self.found[1, k, m, n] += to_weight
        elif name == "_linear_pointwise":
            x, w = args[:2]
            self.found[1, x.shape[0], x.shape[1], w.shape[0]] += 1
        elif "attention" in name and "flash" in name:
            # the first two of queries, keys and values, behind the gradient on the way back
            q, k = (args[1], args[2]) if "backward" in name else (args[0], args[1])
            b, t, d, half = q.shape[0] * q.shape[1], q.shape[2], q.shape[3], k.shape[2] // 2
            times = 2 if "backward" in name else 1
            self.found[b, t, d, half] += times
            self.found[b, t, half, d] += times
        return out


def replay(products: Counter[Product]) -> Callable[[], None]:
    """Return a function that computes nothing but these products."""
    operands = [
        (torch.randn(b, m, k), torch.randn(b, k, n), torch.empty(b, m, n), count)
        for (b, m, k, n), count in products.items()
        if count
    ]

    def run() -> None:
        for a, b, out, count in operands:
            for _ in range(count):
                if len(a) == 1:  # by the library that is faster on this machine
                    mm(a[0], b[0])
                else:
                    torch.bmm(a, b, out=out)

    return run


def gflop(products: Counter[Product]) -> float:
    """Return the floating point operations of the products, in units of 1e9."""
    return 2e-9 * sum(math.prod(p) * count for p, count in products.items())
