"""The exact posterior mean of a Gaussian that is fitted to images by principal components."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gdl.corruptions import Seen
from gdl.restoration.observation import Operator, holes_of

__all__ = ["GaussianImages"]

MOST = 4096
"""Values of an image up to which the covariance is formed, and images that are used beyond."""

FLOOR = 1e-6
"""Least variance of a value, so that no covariance is singular."""


@dataclass(frozen=True)
class GaussianImages:
    """x ~ N(mean, V diag(variances) V^T + s^2 I) on images (C, H, W).

    The first K principal components V keep their variances along them, and s^2 is the mean variance
    along all others, as in probabilistic PCA (Tipping & Bishop, 1999, Eqs. 7 and 8).

    Args:
        mean: (C, H, W).
        components: All principal components (R, C, H, W), the largest variance first.
        variances: Their variances (R,).
        total: The sum of the variances of all values.
    """

    mean: Tensor
    components: Tensor
    variances: Tensor
    total: float

    @classmethod
    def fit(cls, x: Tensor) -> GaussianImages:
        """Return the Gaussian of images x (N, C, H, W); the decomposition is in float64."""
        shape, flat = x.shape[1:], x.flatten(1)
        large = flat.shape[1] > MOST
        flat = flat[:MOST] if large else flat
        mean = flat.mean(0, dtype=torch.float64)
        centred = flat - mean.to(flat)
        products = centred @ centred.T if large else centred.T @ centred
        values, vectors = torch.linalg.eigh(products.double() / len(flat))
        values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
        if large:
            lengths = (values * len(flat)).sqrt().clamp(min=1e-12)
            vectors = centred.T.double() @ vectors / lengths
        components = vectors.T.to(flat).reshape(-1, *shape)
        return cls(mean.to(flat).view(shape), components, values.to(flat), float(values.sum()))

    def posterior_mean(
        self, seen: Seen, operator: Operator, count: int, sigma: float | None = None
    ) -> Tensor:
        """Return E[x | y] (B, C, H, W) in closed form, not clipped, for y = A x + N(0, sigma^2 I).

        With W = V sqrt(variances - s^2) and x = mean + W z + e, where z ~ N(0, I) and e ~ N(0, s^2 I),
        the values of y outside of holes have the noise R = s^2 A A^T + sigma^2 I, which is diagonal:
            E[z | y] = (I + W^T A^T R^-1 A W)^-1 W^T A^T R^-1 (y - A mean),
            E[x | y] = mean + W E[z | y] + s^2 A^T R^-1 (y - A mean - A W E[z | y]).

        Args:
            seen: What is left of images.
            operator: A.
            count: Number of principal components K.
            sigma: Standard deviation of the noise; None for the one that `seen` tells.
        """
        # one of A W and R may be a million times the other; Apple's GPUs have no float64
        on = "cpu" if seen.y.device.type == "mps" else seen.y.device
        of = lambda t: t.to(on, torch.float64)  # noqa: E731
        y, mean, holes = of(seen.y), of(self.mean)[None], holes_of(seen).to(on)
        count = min(count, len(self.variances))
        kept = of(self.variances[:count])
        rest = (self.total - float(kept.sum())) / max(1, mean.numel() - count)
        rest = max(FLOOR, rest)
        w = of(self.components[:count]) * (kept - rest).clamp(min=0).sqrt().view(-1, 1, 1, 1)
        aw = operator.A(w).flatten(1)  # (K, D')
        noise = rest * operator.diagonal(y) + (seen.sigma if sigma is None else sigma) ** 2
        # what is in a hole has infinite noise
        weights = torch.where(holes, 0.0, 1 / noise.clamp(min=1e-30)).flatten(1)
        error = (y - operator.A(mean)).flatten(1)
        z = _solve(aw, weights, error)
        left = ((error - z @ aw) * weights).view_as(y)
        found = mean + (z @ w.flatten(1)).unflatten(1, mean.shape[1:])
        return (found + rest * operator.A_adjoint(left)).to(seen.y)


def _solve(aw: Tensor, weights: Tensor, error: Tensor) -> Tensor:
    """Return E[z | y] (B, K) of errors y - A mean (B, D') with the inverse variances `weights`."""
    eye = torch.eye(len(aw), dtype=aw.dtype, device=aw.device)
    right = (error * weights) @ aw.T
    if bool((weights == weights[0]).all()):
        precision = (aw * weights[0]) @ aw.T + eye
        return torch.cholesky_solve(right.T, torch.linalg.cholesky(precision)).T
    pairs = (aw[:, None] * aw).flatten(0, 1)  # (K^2, D')
    precision = (weights @ pairs.T).unflatten(1, (len(aw), -1)) + eye
    return torch.cholesky_solve(right[..., None], torch.linalg.cholesky(precision))[..., 0]
