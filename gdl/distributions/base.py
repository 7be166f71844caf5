"""The interface of all likelihoods of integer pixels, and the Bernoulli likelihood."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gdl.errors import GdlError
from gdl.kernels.log_sigmoid import log_sigmoid
from gdl.noise import SampleNoise

__all__ = ["LOG_SCALES", "Bernoulli", "Likelihood", "finite", "pixel_moments"]

LOG_SCALES = (-7.0, 20.0)
"""Bounds of log-scales, in units of the range [-1, 1] of the pixels."""


def finite(params: Tensor) -> Tensor:
    """Return parameters within +-10,000, where no logarithm of a probability overflows float32.

    Networks do not come near these bounds on data that they were trained on. On other images, such as
    constant ones, they can, and a likelihood is finite there, too.
    """
    return params.clamp(-1e4, 1e4)


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
        """Return log p(x) in nats (..., B) for params (..., B, P, H, W) and images x (B, C, H, W)."""

    @abstractmethod
    def mean(self, params: Tensor) -> Tensor:
        """Return the expected image (B, C, H, W) in [0, levels - 1]."""

    @abstractmethod
    def draw(self, params: Tensor, noise: Tensor) -> Tensor:
        """Return images (B, C, H, W) uint8 as a deterministic function of parameters and noise.

        Args:
            params: (B, P, H, W), of any height and width.
            noise: The result of `noise` for that height and width. Noise times a temperature is
                the same as logits divided by it, or scales multiplied by it; zero gives the mode.
        """

    def noise(self, source: SampleNoise, height: int, width: int) -> Tensor:
        """Return the noise (B, U, height, width) for one call of `draw`; here standard logistic."""
        return torch.logit(source.uniform(self.shape[0], height, width))

    def sample(self, params: Tensor, noise: SampleNoise) -> Tensor:
        """Draw images (B, C, H, W) uint8, image k from the k-th stream of `noise`."""
        return self.draw(params, self.noise(noise, *self.shape[1:]))

    def probabilities(self, params: Tensor, earlier: Tensor) -> Tensor:
        """Return the probability (B, levels, H, W) of each level of a channel, given the ones before.

        This version is for channels that are independent of each other.

        Args:
            params: (B, P, H, W), of any height and width.
            earlier: (B, c, H, W) uint8, the first c channels; the result is about channel c.
        """
        (b, c, h, w), (channels, *_) = earlier.shape, self.shape
        # each pixel becomes an image for each of its levels
        x = torch.zeros(self.levels, channels, 1, 1, dtype=torch.uint8, device=params.device)
        x[:, c, 0, 0] = torch.arange(self.levels, device=params.device)
        pixels = params.movedim(1, -1).reshape(-1, params.shape[1], 1, 1)
        every = pixels.repeat_interleave(self.levels, 0)
        log_p = self.log_prob(every, x.repeat(len(pixels), 1, 1, 1))
        return log_p.view(b, h, w, self.levels).softmax(-1).movedim(-1, 1)

    @abstractmethod
    def initial_params(self, x: Tensor) -> Tensor:
        """Return parameters (P, H, W) that fit images (N, C, H, W) with independent pixels."""

    def _scaled(self, x: Tensor, like: Tensor) -> Tensor:
        return x.to(like.dtype) * (2 / (self.levels - 1)) - 1

    def _unscaled(self, y: Tensor) -> Tensor:
        return ((y + 1) * ((self.levels - 1) / 2)).clamp(0, self.levels - 1)

    def _to_level(self, y: Tensor) -> Tensor:
        return self._unscaled(y).round().to(torch.uint8)


class Bernoulli(Likelihood):
    """Independent binary pixels; the parameters are logits.

    Raises:
        GdlError: The images are not binary.
    """

    def __init__(self, shape: Sequence[int], levels: int) -> None:
        super().__init__(shape, levels)
        if levels != 2:
            raise GdlError(
                f"likelihood=bernoulli models binary images (levels=2), got levels={levels}: use "
                "data=binarized_mnist, or likelihood=discretized_logistic for these data."
            )

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood.log_prob`."""
        params = finite(params)
        # of the value 0 it is log sigmoid(-logit)
        return log_sigmoid((2 * x.to(params.dtype) - 1) * params).flatten(-3).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """See `Likelihood.mean`."""
        return params.sigmoid()

    def probabilities(self, params: Tensor, earlier: Tensor) -> Tensor:
        """See `Likelihood.probabilities`."""
        logit = finite(params[:, earlier.shape[1]])
        return torch.stack([(-logit).sigmoid(), logit.sigmoid()], 1)

    def draw(self, params: Tensor, noise: Tensor) -> Tensor:
        """See `Likelihood.draw`."""
        return (params > noise).view(torch.uint8)  # a bool is a byte

    def initial_params(self, x: Tensor) -> Tensor:
        """Return the log-odds of the mean image, with one pseudo-count per value."""
        return torch.logit((x.sum(0, dtype=torch.float64) + 1) / (len(x) + 2)).float()


def pixel_moments(y: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (C, H, W) of images in [-1, 1].

    The standard deviation is at least half a level, so that constant pixels have a finite fit.
    """
    return y.mean(0), y.std(0, correction=0).clamp(min=1 / (levels - 1))
