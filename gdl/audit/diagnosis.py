"""What a wrong number is likely to be: a known factor or constant that is missing or too much."""

import math

import torch
from torch import Tensor

__all__ = ["factor", "of_difference", "of_total", "offset", "solve_factor"]


def factor(ratio: float, num_dims: int, tolerance: float = 2e-3) -> str | None:
    """Say what a number is where it should be `ratio` times as large, if that is a known factor."""
    known = {
        math.log(2): "it is in bits, not in nats: do not divide by ln 2",
        num_dims: "it is a mean over the dimensions, not a sum: use flatten(1).sum(1)",
        num_dims
        * math.log(2): "it is in bits/dim, not in nats per image: return nats, gdl converts",
        1 / num_dims: "it is D times too large: each dimension has the sum over all",
        2.0: "it is half of what it should be",
        0.5: "it is twice what it should be, a term is counted twice",
    }
    for value, text in known.items():
        if abs(ratio / value - 1) < tolerance and abs(value - 1) > 0.01:
            return text
    return None


def offset(
    missing: float, num_dims: int, levels: int | None, tolerance: float = 5e-3
) -> str | None:
    """Say what a constant is by which -log p(x) is too small (negative: too large), if it is known."""
    half_log_two_pi = 0.5 * math.log(2 * math.pi)
    known = {
        num_dims * half_log_two_pi: "the constant D/2 ln(2 pi) of a normal density",
        half_log_two_pi: "the constant 1/2 ln(2 pi) of a normal density",
    }
    if levels is not None:
        cells = (
            "D ln {} of the dequantization: y = (x + u) / {} is a density of [0, "
            "1), and bits/dim need"
        )
        cells += " its cells' volume (Theis et al., 2016)"
        known[num_dims * math.log(levels)] = "the term " + cells.format(levels, levels)
        if levels != 256:
            known[num_dims * math.log(256)] = "the term D ln 256, which is not this model's levels"
        if levels > 2:
            known[num_dims * math.log((levels - 1) / 2)] = (
                "the term D ln((levels - 1) / 2): a density of pixels scaled to [-1, 1] is not a "
                "probability of integers"
            )
            known[num_dims * math.log(levels - 1)] = (
                "the term D ln(levels - 1): a density of pixels scaled to [0, 1] is not a "
                "probability of integers"
            )
    for value, text in known.items():
        if abs(value) > 0.05 and abs(missing - value) < tolerance * max(1.0, abs(value)):
            return f"{text} is missing"
        if abs(value) > 0.05 and abs(missing + value) < tolerance * max(1.0, abs(value)):
            return f"{text} is counted once too often"
    return None


def solve_factor(nll: Tensor) -> float | None:
    """Return s with sum_x exp(-s nll(x)) = 1 over all images, by bisection; None if there is none."""
    low, high = 1e-3, 1e4
    total = lambda s: float((-s * nll).logsumexp(0))  # noqa: E731
    if not (nll > 0).all() or total(low) < 0 or total(high) > 0:
        return None
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if total(middle) > 0 else (low, middle)
    return low


def of_total(nll: Tensor, num_dims: int, levels: int) -> str | None:
    """Say why the probabilities exp(-nll) (N,) of all images do not sum to 1, if it is a known way."""
    log_total = float((-nll).logsumexp(0))
    ratio = solve_factor(nll)
    named = None if ratio is None else factor(ratio, num_dims)
    if named is None:
        named = offset(log_total, num_dims, levels)
    if named is None and bool((nll < 0).any()):
        named = (
            "nll is negative, so a density of real numbers is taken for a probability of integers"
        )
    return named


def of_difference(nll: Tensor, expected: Tensor, num_dims: int, levels: int | None) -> str | None:
    """Say how nll (N,) differs from the -log p (N,) that it should be, if it is in a known way."""
    ratios, gaps = expected / nll, expected - nll
    if float(ratios.std()) < 0.02 * abs(float(ratios.mean())):
        named = factor(float(ratios.mean()), num_dims, 0.02)
        if named is not None:
            return named
    if float(gaps.std()) < 0.05 * max(1.0, abs(float(gaps.mean()))):
        return offset(float(gaps.mean()), num_dims, levels, 0.02)
    if torch.allclose(gaps.mean(), gaps, atol=0.2):
        return "a constant is missing"
    return None
