"""How well a score tells foreign images from a run's own: AUROC, AUPR, FPR at 95 % TPR."""

import numpy as np
from torch import Tensor

from gdl.noise import mix_seed

__all__ = ["METRICS", "detection", "detection_with_errors"]

METRICS = ("auroc", "aupr", "fpr95")

AT_ONCE = 4_000_000
"""Weights of bootstrap samples in memory at a time."""


def detection(own: Tensor, foreign: Tensor) -> dict[str, float]:
    """Return AUROC, AUPR and FPR at 95 % TPR of a score, where foreign images are the positives.

    "auroc" is P(score of a foreign image > score of an own one), ties counting half. "aupr" is the
    average precision, sum_i (R_i - R_{i-1}) P_i over the thresholds, which for equally many images of
    both kinds is 0.5 by chance. "fpr95" is the fraction of own images that are called foreign by the
    highest threshold that finds at least 95 % of the foreign ones. They are scikit-learn's
    roc_auc_score, average_precision_score and roc_curve. NaN counts as the most foreign score.

    Args:
        own: Scores (N,) of images like the run's.
        foreign: Scores (M,) of others.
    """
    ends, is_foreign = _in_order(own, foreign)
    found = _curves(np.ones((1, len(is_foreign))), is_foreign, ends)
    return dict(zip(METRICS, found[:, 0].tolist(), strict=True))


def detection_with_errors(
    own: Tensor, foreign: Tensor, resamples: int, seed: int = 0
) -> dict[str, float]:
    """Return `detection`, and the ends of 95 % intervals as {name}_low and {name}_high.

    The intervals are percentiles of the bootstrap: own and foreign images are drawn with replacement,
    each as many as there are (Efron & Tibshirani, 1993, "An introduction to the bootstrap", Sec. 13.3).
    They say how much other test images would change the number, not another training.

    Args:
        own: Scores (N,) of images like the run's.
        foreign: Scores (M,) of others.
        resamples: Number of bootstrap samples.
        seed: Seeds them.
    """
    found = detection(own, foreign)
    ends, is_foreign = _in_order(own, foreign)
    rng = np.random.default_rng(mix_seed("bootstrap", seed))
    part = max(1, AT_ONCE // len(is_foreign))
    samples = []
    for first in range(0, resamples, part):
        weights = np.empty((min(part, resamples - first), len(is_foreign)))
        for kind in (False, True):
            here = np.flatnonzero(is_foreign == kind)
            chance = np.full(len(here), 1 / len(here))
            weights[:, here] = rng.multinomial(len(here), chance, len(weights))
        samples.append(_curves(weights, is_foreign, ends))
    low, high = np.percentile(np.concatenate(samples, 1), [2.5, 97.5], axis=1)
    for i, name in enumerate(METRICS):
        found |= {f"{name}_low": float(low[i]), f"{name}_high": float(high[i])}
    return found


def _in_order(own: Tensor, foreign: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the last index of each run of equal scores (T,), and which are foreign (N + M,).

    The highest score comes first. Infinite scores keep their place, and NaN comes first of all.
    """
    scores = np.concatenate([own.double().numpy(), foreign.double().numpy()])
    unknown = np.isnan(scores)
    order = np.lexsort((-np.nan_to_num(scores, posinf=np.inf, neginf=-np.inf), ~unknown))
    # NaN is a score of its own, above infinity
    ranks, unknown = scores[order], unknown[order]
    last = (ranks[1:] != ranks[:-1]) & ~(unknown[1:] & unknown[:-1])
    ends = np.flatnonzero(np.append(last, True))
    return ends, np.repeat([False, True], [len(own), len(foreign)])[order]


def _curves(weights: np.ndarray, is_foreign: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the three numbers (3, B) of samples that hold each image `weights` times (B, N + M)."""
    hits = np.cumsum(weights * is_foreign, 1)[:, ends]
    alarms = np.cumsum(weights * ~is_foreign, 1)[:, ends]
    tpr, fpr = hits / hits[:, -1:], alarms / alarms[:, -1:]
    steps = np.diff(tpr, axis=1, prepend=0)
    # trapezoids, because scores that are equal are crossed on a straight line
    auroc = (np.diff(fpr, axis=1, prepend=0) * (tpr - steps / 2)).sum(1)
    precision = hits / np.maximum(hits + alarms, 1)
    aupr = (steps * precision).sum(1)
    first = (tpr >= 0.95).argmax(1)
    return np.stack([auroc, aupr, fpr[np.arange(len(fpr)), first]])
