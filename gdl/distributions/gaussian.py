"""The discretized Gaussian likelihood: a normal distribution integrated over each level."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gdl.distributions.base import LOG_SCALES, Likelihood, finite, pixel_moments
from gdl.errors import GdlError
from gdl.noise import SampleNoise
from gdl.part import over_all_processes

__all__ = ["DiscretizedGaussian", "gaussian_kl", "log_normal"]


class DiscretizedGaussian(Likelihood):
    """Independent pixels, each a Gaussian integrated over its level; all share one variance.

    This is the distribution of a normal variable rounded to the nearest level. The variance is not
    a network output. It is a learned scalar, or the optimum sigma^2 = mean squared error of the
    batch (Rybkin et al., 2021, "Simple and effective VAE training with calibrated decoders",
    arXiv 2006.13202, Eq. 7). The optimum is computed from each training batch. Evaluation uses its
    running average: a variance that depended on the test images would not define a density.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
        variance: "learned" or "optimal".

    Raises:
        GdlError: `variance` is neither.
    """

    log_std: Tensor

    def __init__(self, shape: Sequence[int], levels: int, variance: str = "optimal") -> None:
        super().__init__(shape, levels)
        if variance not in ("learned", "optimal"):
            raise GdlError(f"likelihood variance must be learned or optimal, got {variance!r}.")
        self.optimal = variance == "optimal"
        start = torch.tensor(math.log(0.5))
        if self.optimal:
            self.register_buffer("log_std", start)
        else:
            self.log_std = nn.Parameter(start)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood.log_prob`."""
        params = finite(params)
        y, log_std = self._scaled(x, params), self.log_std
        if self.optimal and self.training:
            error = over_all_processes((y - params).square().mean())
            log_std = 0.5 * error.clamp(min=math.exp(2 * LOG_SCALES[0])).log()
            self.log_std.lerp_(log_std.detach(), 0.05)
        std, half = log_std.clamp(*LOG_SCALES).exp(), 1 / (self.levels - 1)
        # both edges of a level are reflected into the left tail, where log_ndtr is exact
        gap = -(y - params).abs()
        upper, lower = (gap + half) / std, (gap - half) / std
        log_upper, log_lower = _log_ndtr(upper), _log_ndtr(lower)
        inner = log_upper + _log1mexp(log_upper - log_lower)
        # the first and the last level include the tail; it may point towards or away from the mean
        is_open = y.abs() > 1 - 0.5 * half
        away = (y > params) == (y > 0)
        tail = torch.where(away, log_upper, _log_ndtr(-lower))
        return torch.where(is_open, tail, inner).flatten(-3).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """See `Likelihood.mean`; the Gaussian's mean, clipped to the range of the levels."""
        return self._unscaled(params)

    def draw(self, params: Tensor, noise: Tensor) -> Tensor:
        """See `Likelihood.draw`."""
        std = self.log_std.clamp(*LOG_SCALES).exp()
        return self._to_level(finite(params) + std * noise)

    def noise(self, source: SampleNoise, height: int, width: int) -> Tensor:
        """See `Likelihood.noise`; here standard normal."""
        return source.normal(self.shape[0], height, width)

    def initial_params(self, x: Tensor) -> Tensor:
        """Return the mean image."""
        return pixel_moments(self._scaled(x, torch.empty(())), self.levels)[0]


def _log_ndtr(x: Tensor) -> Tensor:
    """Return the log of the standard normal CDF, with an exact gradient in both tails.

    In float32, the gradient of `torch.special.log_ndtr` is 5% off at -1000 and later overflows.
    """
    z = -math.sqrt(0.5) * x
    # clamped, because `where` multiplies the gradient of the unused branch by 0, and 0 * inf is NaN
    left = (0.5 * torch.special.erfcx(z.clamp(min=0))).log() - z.square()
    right = torch.log1p(-0.5 * torch.erfc(-z.clamp(max=1)))
    return torch.where(x < -1, left, right)


def _log1mexp(a: Tensor) -> Tensor:
    """Return log(1 - exp(-a)) for a > 0 (Maechler, 2012), finite even where a rounds to 0."""
    a = a.clamp(min=torch.finfo(a.dtype).eps)
    small = (-torch.expm1(-a)).log()
    return torch.where(a < math.log(2), small, torch.log1p(-torch.exp(-a.clamp(min=0.5))))


def log_normal(z: Tensor) -> Tensor:
    """Return log N(z; 0, I), summed over the last dimension."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)


def gaussian_kl(mean: Tensor, log_std: Tensor) -> Tensor:
    """Return KL(N(mean, std^2), N(0, 1)) of each number, in nats.

    Kingma & Welling, 2014, "Auto-encoding variational Bayes", arXiv 1312.6114, Appendix B.
    """
    return 0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std
