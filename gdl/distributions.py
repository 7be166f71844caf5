r"""Distributions of integer pixels: each object holds log-probability *and* sampling.

A likelihood owns the range of the decoder's output: the network returns real parameters
(B, P, H, W), the likelihood turns them into a distribution over x in
{0, ..., levels - 1}^(C, H, W) whose probabilities sum to 1. Inside, pixels are scaled to [-1, 1],
so that adjacent levels lie 2 / (levels - 1) apart; log-scales are in that unit.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.errors import GdlError
from gdl.noise import SampleNoise

__all__ = [
    "Bernoulli",
    "DiscretizedGaussian",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "Likelihood",
    "default_likelihood",
]

MIN_LOG_SCALE = -7.0


class Likelihood(nn.Module, ABC):
    """A distribution over integer images, given real parameters of shape (B, P, H, W).

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
    """

    num_params: int
    """P, the number of parameter channels."""

    def __init__(self, shape: Sequence[int], levels: int) -> None:
        super().__init__()
        self.shape, self.levels = tuple(shape), levels
        self.num_params = self.shape[0]

    @abstractmethod
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Return log p(x) in nats, (..., B), of params (..., B, P, H, W) and x (B, C, H, W)."""

    @abstractmethod
    def mean(self, params: Tensor) -> Tensor:
        """Return the expected image (B, C, H, W) in [0, levels - 1]."""

    @abstractmethod
    def sample(self, params: Tensor, noise: SampleNoise) -> Tensor:
        """Draw images (B, C, H, W) uint8, image k from the k-th stream of `noise`."""

    @abstractmethod
    def initial_params(self, x: Tensor) -> Tensor:
        """Return parameters (P, H, W) that fit images (N, C, H, W) as independent pixels."""

    def _scaled(self, x: Tensor, like: Tensor) -> Tensor:
        return x.to(like.dtype) * (2 / (self.levels - 1)) - 1

    def _unscaled(self, y: Tensor) -> Tensor:
        return ((y + 1) * ((self.levels - 1) / 2)).clamp(0, self.levels - 1)

    def _to_level(self, y: Tensor) -> Tensor:
        return self._unscaled(y).round().to(torch.uint8)


class Bernoulli(Likelihood):
    """Independent binary pixels; the parameters are logits."""

    def __init__(self, shape: Sequence[int], levels: int) -> None:
        super().__init__(shape, levels)
        if levels != 2:
            raise GdlError(
                f"likelihood=bernoulli models binary images (levels=2), got levels={levels}: use "
                "data=binarized_mnist, or likelihood=discretized_logistic for these data."
            )

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood.log_prob`."""
        return (x.to(params.dtype) * params - F.softplus(params)).flatten(-3).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """See `Likelihood.mean`."""
        return params.sigmoid()

    def sample(self, params: Tensor, noise: SampleNoise) -> Tensor:
        """See `Likelihood.sample`."""
        return (noise.uniform(*self.shape) < params.sigmoid()).to(torch.uint8)

    def initial_params(self, x: Tensor) -> Tensor:
        """Return the log-odds of the mean image, with one pseudo-count per value."""
        return torch.logit((x.sum(0, dtype=torch.float64) + 1) / (len(x) + 2)).float()


class DiscretizedLogistic(Likelihood):
    r"""Independent pixels, each a logistic distribution integrated over its level.

    P(x) = sigmoid((x + h - mu) / s) - sigmoid((x - h - mu) / s) with h half a level; the first and
    the last level take the open tails (Salimans et al., 2017, arXiv 1701.05517, Eq. 2).
    """

    def __init__(self, shape: Sequence[int], levels: int) -> None:
        super().__init__(shape, levels)
        self.num_params = 2 * self.shape[0]

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood.log_prob`."""
        mean, log_scale = params.chunk(2, -3)
        terms = _log_bin_mass(self._scaled(x, params), mean, log_scale, self.levels)
        return terms.flatten(-3).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """See `Likelihood.mean`; the mean of the logistic, clipped to the range of the levels."""
        return self._unscaled(params.chunk(2, -3)[0])

    def sample(self, params: Tensor, noise: SampleNoise) -> Tensor:
        """See `Likelihood.sample`."""
        mean, log_scale = params.chunk(2, -3)
        u = noise.uniform(*self.shape)
        return self._to_level(mean + log_scale.clamp(min=MIN_LOG_SCALE).exp() * torch.logit(u))

    def initial_params(self, x: Tensor) -> Tensor:
        """Match the mean and the variance pi^2 s^2 / 3 of each pixel, at least half a level."""
        mean, std = _pixel_moments(self._scaled(x, torch.empty(())), self.levels)
        return torch.cat([mean, (std * math.sqrt(3) / math.pi).log()])


class DiscretizedLogisticMixture(Likelihood):
    r"""A mixture of discretized logistics per pixel, with linear dependence between channels.

    Salimans et al., 2017, "PixelCNN++", arXiv 1701.05517, Eqs. 1-3: the channels of a pixel share
    the mixture component, and the mean of channel c is mu_c + sum over earlier channels c' of
    coeff_cc' x_c'. Per component the parameters are a logit, C means, C log-scales and C (C-1) / 2
    coefficients (through tanh).

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
        num_mixtures: Components of the mixture.
    """

    def __init__(self, shape: Sequence[int], levels: int, num_mixtures: int = 10) -> None:
        super().__init__(shape, levels)
        c = self.shape[0]
        self.num_mixtures = num_mixtures
        self._parts = [1, c, c, c * (c - 1) // 2]
        self.num_params = num_mixtures * sum(self._parts)

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return logits (..., K, H, W); means, log-scales, coefficients (..., K, n, H, W)."""
        params = params.unflatten(-3, (self.num_mixtures, sum(self._parts)))
        logits, mean, log_scale, coeff = params.split(self._parts, -3)
        return logits.squeeze(-3), mean, log_scale, coeff.tanh()

    def _conditional_mean(
        self, mean: Tensor, coeff: Tensor, earlier: Sequence[Tensor], c: int
    ) -> Tensor:
        """Return the mean (..., K, H, W) of channel c given the values of the channels before."""
        out = mean[..., c, :, :]
        for i, value in enumerate(earlier):
            out = out + coeff[..., c * (c - 1) // 2 + i, :, :] * value
        return out

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood.log_prob`."""
        logits, mean, log_scale, coeff = self._split(params)
        y = self._scaled(x, params).unsqueeze(-4)  # (B, 1, C, H, W): one copy per component
        channels = y.unbind(-3)
        log_mass = logits.log_softmax(-3)
        for c, value in enumerate(channels):
            mu = self._conditional_mean(mean, coeff, channels[:c], c)
            log_mass = log_mass + _log_bin_mass(value, mu, log_scale[..., c, :, :], self.levels)
        return log_mass.logsumexp(-3).flatten(-2).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """See `Likelihood.mean`; components are averaged with their weights."""
        logits, mean, _, coeff = self._split(params)
        expected: list[Tensor] = []
        for c in range(self.shape[0]):
            expected.append(self._conditional_mean(mean, coeff, expected, c).clamp(-1, 1))
        weights = logits.softmax(-3)
        return self._unscaled(torch.stack([(weights * e).sum(-3) for e in expected], -3))

    def sample(self, params: Tensor, noise: SampleNoise) -> Tensor:
        """See `Likelihood.sample`."""
        logits, mean, log_scale, coeff = self._split(params)
        gumbel = -(-noise.uniform(*logits.shape[-3:]).log()).log()
        chosen = (logits + gumbel).argmax(-3, keepdim=True)
        pick = lambda t: t.gather(-3, chosen).squeeze(-3)  # noqa: E731
        drawn: list[Tensor] = []
        for c in range(self.shape[0]):
            mu = pick(self._conditional_mean(mean, coeff, [d.unsqueeze(-3) for d in drawn], c))
            scale = pick(log_scale[..., c, :, :]).clamp(min=MIN_LOG_SCALE).exp()
            y = mu + scale * torch.logit(noise.uniform(*self.shape[1:]))
            # later channels are conditioned on the integer level, not on the continuous value
            drawn.append(self._scaled(self._to_level(y), y))
        return self._to_level(torch.stack(drawn, -3))

    def initial_params(self, x: Tensor) -> Tensor:
        """Spread equal components over the levels; scales fit a uniform mixture of them."""
        k, (c, h, w) = self.num_mixtures, self.shape
        params = torch.zeros(k, sum(self._parts), h, w)
        params[:, 1 : 1 + c] = torch.linspace(-1, 1, k + 2)[1:-1].view(-1, 1, 1, 1)
        params[:, 1 + c : 1 + 2 * c] = math.log(1 / (k + 1))
        return params.flatten(0, 1)


class DiscretizedGaussian(Likelihood):
    """Independent pixels, each a Gaussian integrated over its level, one variance for all.

    Equals a normal draw rounded to the nearest level. The variance is not a network output: it is
    a learned scalar, or the optimum sigma^2 = mean squared error of the batch (Rybkin et al.,
    2021, "Simple and effective VAE training with calibrated decoders", arXiv 2006.13202, Eq. 7).
    The optimum is taken from the batch in training mode and remembered, as a running average, for
    evaluation, where a variance that depends on the test images would not define a density.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
        variance: "learned" or "optimal".
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
        y, log_std = self._scaled(x, params), self.log_std
        if self.optimal and self.training:
            log_std = (
                0.5 * (y - params).square().mean().clamp(min=math.exp(2 * MIN_LOG_SCALE)).log()
            )
            self.log_std.lerp_(log_std.detach(), 0.05)
        std, half = log_std.clamp(min=MIN_LOG_SCALE).exp(), 1 / (self.levels - 1)
        # reflect so that both edges of a level lie in the left tail, where the logs are exact
        gap = -(y - params).abs()
        upper, lower = (gap + half) / std, (gap - half) / std
        log_upper, log_lower = _log_ndtr(upper), _log_ndtr(lower)
        inner = log_upper + _log1mexp(log_upper - log_lower)
        # the first and the last level take the open tail, which lies towards or away from the mean
        is_open = y.abs() > 1 - 0.5 * half
        away = (y > params) == (y > 0)
        tail = torch.where(away, log_upper, _log_ndtr(-lower))
        return torch.where(is_open, tail, inner).flatten(-3).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """See `Likelihood.mean`; the Gaussian's mean, clipped to the range of the levels."""
        return self._unscaled(params)

    def sample(self, params: Tensor, noise: SampleNoise) -> Tensor:
        """See `Likelihood.sample`."""
        std = self.log_std.clamp(min=MIN_LOG_SCALE).exp()
        return self._to_level(params + std * noise.normal(*self.shape))

    def initial_params(self, x: Tensor) -> Tensor:
        """Return the mean image."""
        return _pixel_moments(self._scaled(x, torch.empty(())), self.levels)[0]


def default_likelihood(shape: Sequence[int], levels: int) -> Likelihood:
    """Return `Bernoulli` for binary images and `DiscretizedLogistic` for all others."""
    return Bernoulli(shape, levels) if levels == 2 else DiscretizedLogistic(shape, levels)


def _log_bin_mass(y: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """Return log P of the level at y in [-1, 1] under a logistic, exact in the far tails.

    With a, b the standardised lower and upper edge, sigmoid(b) - sigmoid(a) equals
    sigmoid(b) sigmoid(-a) (1 - exp(a - b)), a product without cancellation.
    """
    inv_scale = torch.exp(-log_scale.clamp(min=MIN_LOG_SCALE))
    centred, half = (y - mean) * inv_scale, inv_scale / (levels - 1)
    log_below_upper = F.logsigmoid(centred + half)
    log_above_lower = F.logsigmoid(half - centred)
    log_width = torch.log(-torch.expm1(-2 * half))
    inner = log_below_upper + log_above_lower + log_width
    edge = 1 - 0.5 / (levels - 1)
    return torch.where(y < -edge, log_below_upper, torch.where(y > edge, log_above_lower, inner))


def _log_ndtr(x: Tensor) -> Tensor:
    """Return the log of the normal distribution function, with an exact gradient in both tails.

    In float32, the gradient of `torch.special.log_ndtr` is 5% off at -1000 and later overflows.
    """
    z = -math.sqrt(0.5) * x
    # each branch gets arguments at which its gradient is finite
    left = (0.5 * torch.special.erfcx(z.clamp(min=0))).log() - z.square()
    right = torch.log1p(-0.5 * torch.erfc(-z.clamp(max=1)))
    return torch.where(x < -1, left, right)


def _log1mexp(a: Tensor) -> Tensor:
    """Return log(1 - exp(-a)) for a > 0 (Maechler, 2012), finite even where a rounds to 0."""
    a = a.clamp(min=torch.finfo(a.dtype).eps)
    small = (-torch.expm1(-a)).log()
    return torch.where(a < math.log(2), small, torch.log1p(-torch.exp(-a.clamp(min=0.5))))


def _pixel_moments(y: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (C, H, W) of images in [-1, 1], std >= half a level."""
    return y.mean(0), y.std(0, correction=0).clamp(min=1 / (levels - 1))
