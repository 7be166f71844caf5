"""The discretized logistic likelihood, and mixtures of discretized logistics."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gdl.distributions.base import LOG_SCALES, Likelihood, finite, pixel_moments
from gdl.kernels.log_sigmoid import log_sigmoid
from gdl.noise import SampleNoise

__all__ = ["DiscretizedLogistic", "DiscretizedLogisticMixture"]


class DiscretizedLogistic(Likelihood):
    r"""Independent pixels, each a logistic distribution integrated over its level.

    P(x) = sigmoid((x + h - mu) / s) - sigmoid((x - h - mu) / s), where h is half a level. The first
    and the last level include the tails (Salimans et al., 2017, arXiv 1701.05517, Eq. 2).
    """

    def __init__(self, shape: Sequence[int], levels: int) -> None:
        super().__init__(shape, levels)
        self.num_params = 2 * self.shape[0]

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood.log_prob`."""
        mean, log_scale = finite(params).chunk(2, -3)
        terms = _log_bin_mass(self._scaled(x, params), mean, log_scale, self.levels)
        return terms.flatten(-3).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """See `Likelihood.mean`; the mean of the logistic, clipped to the range of the levels."""
        return self._unscaled(params.chunk(2, -3)[0])

    def probabilities(self, params: Tensor, earlier: Tensor) -> Tensor:
        """See `Likelihood.probabilities`."""
        mean, log_scale = (t[:, earlier.shape[1]] for t in finite(params).chunk(2, -3))
        return _bin_masses(mean, log_scale, self.levels).movedim(-1, 1)

    def draw(self, params: Tensor, noise: Tensor) -> Tensor:
        """See `Likelihood.draw`."""
        mean, log_scale = finite(params).chunk(2, -3)
        return self._to_level(mean + log_scale.clamp(*LOG_SCALES).exp() * noise)

    def initial_params(self, x: Tensor) -> Tensor:
        """Return mu and log s that match mean and variance, pi^2 s^2 / 3, of each pixel."""
        mean, std = pixel_moments(self._scaled(x, torch.empty(())), self.levels)
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
        params = finite(params).unflatten(-3, (self.num_mixtures, sum(self._parts)))
        logits, mean, log_scale, coeff = params.split(self._parts, -3)
        return logits.squeeze(-3), mean, log_scale, coeff.tanh()

    def _conditional_mean(
        self, mean: Tensor, coeff: Tensor, earlier: Sequence[Tensor], c: int
    ) -> Tensor:
        """Return the mean (..., K, H, W) of channel c given the values of earlier channels."""
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
        """See `Likelihood.mean`; an average over the components with their weights."""
        logits, mean, _, coeff = self._split(params)
        expected: list[Tensor] = []
        for c in range(self.shape[0]):
            expected.append(self._conditional_mean(mean, coeff, expected, c).clamp(-1, 1))
        weights = logits.softmax(-3)
        return self._unscaled(torch.stack([(weights * e).sum(-3) for e in expected], -3))

    def probabilities(self, params: Tensor, earlier: Tensor) -> Tensor:
        """See `Likelihood.probabilities`; earlier channels say which component is likely."""
        logits, mean, log_scale, coeff = self._split(params)
        channels = self._scaled(earlier, params).unsqueeze(-4).unbind(-3)
        log_weight = logits
        for i, value in enumerate(channels):
            mu = self._conditional_mean(mean, coeff, channels[:i], i)
            log_weight = log_weight + _log_bin_mass(
                value, mu, log_scale[..., i, :, :], self.levels
            )
        c = len(channels)
        mu = self._conditional_mean(mean, coeff, channels, c)
        each = [t.movedim(1, -1) for t in (log_weight.softmax(1), mu, log_scale[..., c, :, :])]
        masses = _bin_masses(each[1], each[2], self.levels)
        return (each[0].unsqueeze(-2) @ masses).squeeze(-2).movedim(-1, 1)

    def noise(self, source: SampleNoise, height: int, width: int) -> Tensor:
        """See `Likelihood.noise`; Gumbel to choose a component, then logistic for each channel."""
        choice = source.gumbel(self.num_mixtures, height, width)
        return torch.cat([choice, super().noise(source, height, width)], 1)

    def draw(self, params: Tensor, noise: Tensor) -> Tensor:
        """See `Likelihood.draw`."""
        logits, mean, log_scale, coeff = self._split(params)
        gumbel, logistic = noise.split([self.num_mixtures, self.shape[0]], -3)
        chosen = (logits + gumbel).argmax(-3, keepdim=True)
        pick = lambda t: t.gather(-3, chosen).squeeze(-3)  # noqa: E731
        drawn: list[Tensor] = []
        for c in range(self.shape[0]):
            mu = pick(self._conditional_mean(mean, coeff, [d.unsqueeze(-3) for d in drawn], c))
            scale = pick(log_scale[..., c, :, :]).clamp(*LOG_SCALES).exp()
            y = mu + scale * logistic[..., c, :, :]
            # later channels are conditioned on the integer level, not on the continuous value
            drawn.append(self._scaled(self._to_level(y), y))
        return self._to_level(torch.stack(drawn, -3))

    def initial_params(self, x: Tensor) -> Tensor:
        """Return equal components whose means are spread over the levels, whatever the images."""
        k, (c, h, w) = self.num_mixtures, self.shape
        params = torch.zeros(k, sum(self._parts), h, w)
        params[:, 1 : 1 + c] = torch.linspace(-1, 1, k + 2)[1:-1].view(-1, 1, 1, 1)
        params[:, 1 + c : 1 + 2 * c] = math.log(1 / (k + 1))
        return params.flatten(0, 1)


def _log_bin_mass(y: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """Return the log-probability of the level at y in [-1, 1] under a logistic distribution.

    With a, b the standardised lower and upper edge of the level, sigmoid(b) - sigmoid(a) equals
    sigmoid(b) sigmoid(-a) (1 - exp(a - b)). The product has no cancellation, so it is exact in the
    far tails too.
    """
    inv_scale = torch.exp(-log_scale.clamp(*LOG_SCALES))
    centred, half = (y - mean) * inv_scale, inv_scale / (levels - 1)
    log_below_upper = log_sigmoid(centred + half)
    log_above_lower = log_sigmoid(half - centred)
    log_width = torch.log(-torch.expm1(-2 * half))
    inner = log_below_upper + log_above_lower + log_width
    edge = 1 - 0.5 / (levels - 1)
    return torch.where(y < -edge, log_below_upper, torch.where(y > edge, log_above_lower, inner))


def _bin_masses(mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """Return the probability (..., levels) of every level under logistic distributions.

    They are differences of the distribution function, rounded as numbers of about 1, so small ones
    are less exact than those of `_log_bin_mass`, and take a third of the time.
    """
    inv_scale = torch.exp(-log_scale.clamp(*LOG_SCALES))
    edges = torch.arange(1, 2 * levels - 2, 2, dtype=mean.dtype, device=mean.device)
    edges = edges / (levels - 1) - 1
    below = ((edges - mean.unsqueeze(-1)) * inv_scale.unsqueeze(-1)).sigmoid()
    zero = below.new_zeros(()).expand(*mean.shape, 1)
    return torch.cat([below, zero + 1], -1) - torch.cat([zero, below], -1)
