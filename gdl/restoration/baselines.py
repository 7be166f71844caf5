"""The trivial methods that a restorer must beat, chosen by what an image lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gdl.corruptions import Corruption, Seen
from gdl.noise import SampleNoise
from gdl.restoration import filters
from gdl.restoration.fills import harmonic_fill
from gdl.restoration.gaussian_posterior import GaussianImages
from gdl.restoration.observation import Operator, has_colours, holes_of, is_noisy, is_smaller
from gdl.restoration.quality import psnr

__all__ = ["Baseline", "baselines"]

WIDTHS = (0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2)
"""Standard deviations of the Gaussian filter in pixels."""
SIZES = (3, 5, 7)
"""Pixels of a side of the window of the median."""
WEIGHTS = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7)
"""Of total variation."""
COMPONENTS = (16, 32, 64, 128, 256, 512, 1024)
"""Numbers of principal components, and `FEW` at most where each image has other holes."""
FEW = 128
SIGMAS = (0.05, 0.1, 0.2, 0.4)
"""Noise that the Gaussian posterior supposes where it is not Gaussian."""

NUM_FIT, NUM_TUNE, TUNE_SEED = 20_000, 300, 1
"""Training images for mean and covariance; validation images for the settings, and their seed."""


@dataclass(frozen=True)
class Baseline:
    """A method without randomness, as a `Restorer`.

    Args:
        restore: Returns restored images (B, C, H, W) of what is left of B images.
        settings: What validation images have chosen, by name.
    """

    restore: Callable[[Seen], Tensor]
    settings: Mapping[str, float] = field(default_factory=dict)

    def __call__(
        self, seen: Seen, *, draws: int = 1, seed: int = 0, indices: Sequence[int] | None = None
    ) -> Tensor:
        """Return restored images (1, B, C, H, W)."""
        return self.restore(seen)[None]


def baselines(corruption: Corruption, train: Tensor, val: Tensor) -> dict[str, Baseline]:
    """Return the methods that make sense for a corruption, by name.

    Their settings are those with the highest PSNR on validation images, which lose the same with
    another seed. A method never looks at test images before it restores them, nor at what is in a hole.

    Args:
        corruption: What the images lose.
        train: Training images (N, C, H, W) in [0, 1], on the device that will be used.
        val: Validation images.
    """
    x = val[:NUM_TUNE]
    noise = SampleNoise(TUNE_SEED, range(len(x)), x.device, x.dtype)
    seen, operator = corruption(x, noise), Operator(corruption)
    images = GaussianImages.fit(train[:: max(1, len(train) // NUM_FIT)][:NUM_FIT])
    choose, to_size = partial(_chosen, seen, x), partial(_to_size, operator)
    found: dict[str, Baseline] = {}
    if not is_smaller(seen) and has_colours(seen):
        found["identity"] = Baseline(lambda seen: seen.image)
    if bool((seen.y < 0).any() or (seen.y > 1).any()):
        found["clipping"] = Baseline(lambda seen: seen.image.clamp(0, 1))
    if holes_of(seen).any():
        mean = operator.A_without_holes(images.mean[None])
        fill = lambda s: torch.where(holes_of(s), mean.to(s.y), s.y)  # noqa: E731
        found["mean_fill"] = Baseline(lambda s: to_size(s, fill(s)))
    if not seen.known.all() and (seen.known.any() or holes_of(seen).any()):
        found["harmonic_fill"] = Baseline(lambda s: to_size(s, _filled(s)))
    if is_noisy(seen):
        smooth = lambda f: lambda s, **k: to_size(s, f(_without_holes(s), **k))  # noqa: E731
        sizes = [size for size in SIZES if size <= min(seen.y.shape[2:])]
        found["gaussian"] = choose(smooth(filters.gaussian_filter), width=WIDTHS)
        found["median"] = choose(smooth(filters.median_filter), size=sizes)
        found["total_variation"] = choose(smooth(filters.total_variation), weight=WEIGHTS)
    if is_smaller(seen):
        for kind in filters.KERNELS:
            enlarge = lambda s, kind=kind: to_size(s, _without_holes(s), kind)  # noqa: E731
            found[kind] = Baseline(enlarge)
    if not has_colours(seen):
        found["grey_copy"] = Baseline(lambda s: to_size(s, _without_holes(s)))
        found["mean_colour"] = Baseline(partial(_mean_colour, operator, images.mean))
    restore = lambda s, **k: images.posterior_mean(s, operator, **k).clamp(0, 1)  # noqa: E731
    found["pca"] = choose(restore, **_choices_of_pca(seen, len(images.variances)))
    return found


def _chosen(
    seen: Seen, x: Tensor, restore: Callable[..., Tensor], **choices: Sequence[Any]
) -> Baseline:
    """Return the method with the settings whose PSNR on x (B, C, H, W) is highest."""
    best: tuple[float, Baseline] | None = None
    for values in itertools.product(*choices.values()):
        settings = dict(zip(choices, values, strict=True))
        method = Baseline(partial(restore, **settings), settings)
        quality = float(psnr(method.restore(seen), x).mean())
        if best is None or quality > best[0]:
            best = quality, method
    assert best is not None
    return best[1]


def _choices_of_pca(seen: Seen, available: int) -> dict[str, Sequence[Any]]:
    """Return the numbers of components and, where noise is not Gaussian, its levels."""
    holes = holes_of(seen)
    most = min(available, max(COMPONENTS) if bool((holes == holes[:1]).all()) else FEW)
    counts: dict[str, Sequence[Any]] = {"count": [*(c for c in COMPONENTS if c < most), most]}
    return counts | ({"sigma": SIGMAS} if is_noisy(seen) and not seen.sigma else {})


def _filled(seen: Seen) -> Tensor:
    """Return y with a harmonic fill of all that is not known, or of holes where nothing is exact."""
    given = seen.known if seen.sigma == 0 else ~holes_of(seen)
    return harmonic_fill(seen.y, given)


def _without_holes(seen: Seen) -> Tensor:
    holes = holes_of(seen)
    return harmonic_fill(seen.y, ~holes) if bool(holes.any()) else seen.y


def _to_size(operator: Operator, seen: Seen, y: Tensor, kind: str = "bicubic") -> Tensor:
    """Return y, restored in its own size and channels, as images (B, C, H, W) in [0, 1]."""
    if is_smaller(seen):
        y = filters.enlarged(y, seen.shape[1:], kind, operator.first(seen.y))
    return y.expand(-1, seen.shape[0], -1, -1).clamp(0, 1)


def _mean_colour(operator: Operator, mean: Tensor, seen: Seen) -> Tensor:
    """Return grey with the colours of the mean image: mean + what is left of y - A mean, in grey."""
    mean = mean[None].to(seen.y)
    error = _without_holes(seen) - operator.A(mean)
    if is_smaller(seen):
        error = filters.enlarged(error, seen.shape[1:], "bicubic", operator.first(seen.y))
    return (mean + error).clamp(0, 1)
