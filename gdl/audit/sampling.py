"""Theorems about samples: integers of the range, each a function of the seed and of its index."""

import torch
from torch import Tensor

from gdl.audit.finding import FAILED, Finding, skipped
from gdl.capabilities import Samples
from gdl.families.base import GenerativeModel

__all__ = ["sample_k_depends_on_seed_and_k"]


@torch.no_grad()
def sample_k_depends_on_seed_and_k(model: GenerativeModel, n: int = 6) -> Finding:
    """Sample k is the same in every set that has it, and does not look at global random streams.

    Levels may differ by rounding in one of 1,000 pixels: matrix products depend on the batch size.
    """
    check, what = "sample k", "part of the numbers that depend on more than (seed, k)"
    if not isinstance(model, Samples):
        return skipped(check, what, "the model does not sample")
    torch.manual_seed(1)
    first = model.sample(n, seed=5)
    torch.manual_seed(2)
    torch.rand(3)
    again, fewer, more = (
        model.sample(n, seed=5),
        model.sample(2, seed=5),
        model.sample(n + 105, seed=5),
    )
    if first.shape != (n, *model.shape):
        reason = (
            f"sample({n}) has the shape {tuple(first.shape)}, not (n, "
            f"{', '.join(map(str, model.shape))})"
        )
        return Finding(check, what, 1, 0.001, FAILED, reason)
    if model.levels is not None:
        y = first.double()
        if not bool(((y == y.floor()) & (y >= 0) & (y < model.levels)).all()):
            reason = "samples are not integers in 0, ..., levels - 1: round and clamp them"
            return Finding(check, what, 1, 0.001, FAILED, reason)
    if not bool(first.isfinite().all()):
        return Finding(check, what, 1, 0.001, FAILED, "samples are not finite")
    for other, reason in (
        (
            again,
            "sample draws from the global random stream: use gdl.noise.SampleNoise(seed, indices)",
        ),
        (
            fewer,
            "sample k depends on how many are drawn: use gdl.noise.SampleNoise(seed, indices)",
        ),
        (
            more,
            "sample k depends on the chunk it is in: give SampleNoise the indices of the chunk",
        ),
    ):
        m = min(n, len(other))
        changed = _changed(first[:m], other[:m])
        if changed > 0.001 + 1.5 / first[:m].numel():
            return Finding(check, what, changed, 0.001, FAILED, reason)
    if first.unique().numel() > 1 and torch.equal(first, model.sample(n, seed=6)):
        return Finding(check, what, 1, 0.001, FAILED, "sample does not use its seed")
    return Finding(check, what, 0, 0.001)


def _changed(one: Tensor, two: Tensor) -> float:
    """Return the part of the numbers that differ by more than rounding."""
    return float(
        ((one.double() - two.double()).abs() > 1e-4 * (1 + one.double().abs())).double().mean()
    )
