"""Mutual information of each latent with each factor, from histograms.

The plug-in estimate, which is written out here because a library's may change between versions.
"""

import torch
from torch import Tensor

__all__ = ["discretized", "entropies", "mutual_information"]

CONSTANT = 1e-6
"""A latent whose range is below this part of its size is constant: what varies is rounding."""


def discretized(codes: Tensor, bins: int = 20) -> Tensor:
    """Return the bin (N, L) of each code, of equal-width bins between a latent's smallest and largest.

    A constant latent is in one bin.

    Args:
        codes: (N, L) floating point.
        bins: Number of bins of a latent.
    """
    x = codes.double()
    low, high = x.amin(0), x.amax(0)
    steps = torch.linspace(0, 1, bins + 1, dtype=x.dtype, device=x.device)[1:-1]
    edges = low[:, None] + (high - low)[:, None] * steps
    found = torch.searchsorted(edges, x.T.contiguous(), right=True).T
    size = torch.maximum(low.abs(), high.abs())
    return torch.where(high - low > CONSTANT * size, found, 0)


def mutual_information(codes: Tensor, factors: Tensor) -> Tensor:
    """Return I(z_j; v_k) (L, F) in nats of the empirical distribution, in float64.

    I = sum p(z, v) log [p(z, v) / (p(z) p(v))]. It is biased upwards by about (bins - 1)(values - 1) /
    (2 N) where the two are independent.

    Args:
        codes: Discrete codes (N, L), counted from 0; see `discretized`.
        factors: Discrete factors (N, F), counted from 0.
    """
    bins = int(codes.max()) + 1
    latents = torch.arange(codes.shape[1], device=codes.device)
    columns = []
    for v in factors.T:
        values = int(v.max()) + 1
        cells = (latents * bins + codes) * values + v[:, None]
        counts = torch.bincount(cells.flatten(), minlength=len(latents) * bins * values)
        joint = counts.view(len(latents), bins, values).double() / len(codes)
        apart = _entropy(joint.sum(2), 1) + _entropy(joint.sum(1), 1)
        columns.append((apart - _entropy(joint.flatten(1), 1)).clamp(min=0))
    return torch.stack(columns, 1)


def entropies(factors: Tensor) -> Tensor:
    """Return H(v_k) (F,) in nats of discrete factors (N, F), of their empirical distribution."""
    counts = [torch.bincount(v).double() / len(v) for v in factors.T]
    return torch.stack([_entropy(p, 0) for p in counts])


def _entropy(p: Tensor, axis: int) -> Tensor:
    return -torch.xlogy(p, p).sum(axis)
