"""Bounds from many samples, without keeping them."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["StreamingLogMeanExp"]


@dataclass
class StreamingLogMeanExp:
    """log of the mean of exp(w) over a stream of log weights, in float64, without keeping them.

    Also keeps the sum of squares, for the effective sample size (sum w)^2 / sum w^2.
    """

    log_sum: Tensor | None = None
    log_sum_squares: Tensor | None = None
    count: int = 0

    def add(self, log_w: Tensor) -> None:
        """Add log weights (k, B)."""
        log_w = log_w.double()
        s, q = log_w.logsumexp(0), (2 * log_w).logsumexp(0)
        self.log_sum = s if self.log_sum is None else torch.logaddexp(self.log_sum, s)
        old = self.log_sum_squares
        self.log_sum_squares = q if old is None else torch.logaddexp(old, q)
        self.count += log_w.shape[0]

    def value(self) -> Tensor:
        """Return log (1 / K) sum_k exp(w_k), (B,)."""
        assert self.log_sum is not None, "no weights were added"
        return self.log_sum - math.log(self.count)

    def effective_samples(self) -> Tensor:
        """Return (B,), between 1 and K; below about 2 the bound is loose."""
        assert self.log_sum is not None
        assert self.log_sum_squares is not None
        return (2 * self.log_sum - self.log_sum_squares).exp()
