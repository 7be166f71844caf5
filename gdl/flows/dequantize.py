"""From integers to real numbers and back: dequantization with its likelihood term, the logit map."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gdl.flows.base import Bijection
from gdl.noise import uniform

__all__ = ["Affine", "Logit", "UniformDequantization"]


class UniformDequantization(nn.Module):
    """y = (x + u) / levels with u uniform on [0, 1)^D; the noise is fresh at each call.

    log P(x) = log int p(y) du levels^-D >= E_u[log p(y)] - D log levels (Theis et al., 2016,
    "A note on the evaluation of generative models", arXiv 1511.01844, Eqs. 4-6).

    Args:
        levels: Number of values of a pixel.
        shape: Shape of an image.
    """

    kind = "dequant"
    """What the bound is called, before the number of samples."""

    def __init__(self, levels: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.levels, self.log_volume = levels, math.prod(shape) * math.log(levels)
        # so far below 1 is u that x + u is not rounded up to the next integer
        self.gap = 4 * levels * torch.finfo(torch.float32).eps

    def forward(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return y in [0, 1) and the term (B,) in nats that log p(y) lacks to bound log P(x)."""
        u = uniform(x.shape, x.new_empty(0, dtype=dtype))
        y = (x.to(dtype) + u.clamp(max=1 - self.gap)) / self.levels
        return y, u.new_full((len(x),), -self.log_volume)

    def compile_networks(self) -> None:
        """Compile what networks there are, in place; uniform noise has none."""

    def inverse(self, y: Tensor) -> Tensor:
        """Return the integers (uint8) of real images, those outside of [0, 1) clamped."""
        return (y * self.levels).floor().clamp(0, self.levels - 1).to(torch.uint8)


class Logit(Bijection):
    """z = logit(a + (1 - 2 a) y) of y in [0, 1], with its Jacobian; the inverse undoes a.

    Real NVP, Section 4.1, in the symmetric form of the paper's code.

    Args:
        alpha: a, which keeps the logit finite at 0 and 1.
    """

    def __init__(self, alpha: float = 0.05) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        y = self.alpha + (1 - 2 * self.alpha) * x
        z = y.log() - torch.log1p(-y)
        log_slope = math.log(1 - 2 * self.alpha) - y.log() - torch.log1p(-y)
        return z, log_slope.flatten(1).sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        return (z.sigmoid() - self.alpha) / (1 - 2 * self.alpha)


class Affine(Bijection):
    """z = scale * x + shift with fixed numbers, e.g. [0, 1] to [-1, 1].

    Args:
        scale: Not zero.
        shift: Any number.
    """

    def __init__(self, scale: float, shift: float = 0.0) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        log_det = math.prod(x.shape[1:]) * math.log(abs(self.scale))
        return self.scale * x + self.shift, x.new_full((len(x),), log_det)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        return (z - self.shift) / self.scale
