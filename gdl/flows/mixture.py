"""Monotone maps of the line: the distribution function of a mixture of logistics, then the logit.

Ho et al., 2019, "Flow++", arXiv 1902.00275, Section 3.2. An affine map moves and stretches a
distribution on the line; these map any one to any other, as closely as the number of components
allows.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gdl.flows.base import Bijection
from gdl.flows.coupling import HalvesCoupling, tanh_log_scale
from gdl.kernels.log_sigmoid import log_sigmoid

__all__ = ["Mixture", "MixtureCoupling", "MixtureLogit"]


class Mixture(NamedTuple):
    """F(x) = sum_k w_k sigmoid((x - m_k) / s_k) for each number x (...).

    Args:
        log_weights: log w, (..., K), normalized.
        means: m, (..., K).
        log_scales: log s, (..., K).
    """

    log_weights: Tensor
    means: Tensor
    log_scales: Tensor

    @classmethod
    def of(cls, raw: Tensor) -> "Mixture":
        """Return the mixtures that real numbers (..., 3, K) stand for; e^-5 < s < e^5."""
        logits, means, log_scales = raw.unbind(-2)
        return cls(logits.log_softmax(-1), means, tanh_log_scale(log_scales, 5.0))

    def logit(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logit F(x) and the log of its slope, F' / (F (1 - F)), for x (...).

        Nothing over- or underflows in the tails, where the slope tends to the slope of one component.
        """
        below, above = self._log_masses(x)
        log_density = (below + above - self.log_weights - self.log_scales).logsumexp(-1)
        log_cdf, log_rest = below.logsumexp(-1), above.logsumexp(-1)
        return log_cdf - log_rest, log_density - log_cdf - log_rest

    def invert(self, z: Tensor) -> Tensor:
        """Return x (...) with logit F(x) = z, by bisection down to rounding."""
        with torch.no_grad():
            # where each component by itself has logit z: F lies between them
            ends = self.means + self.log_scales.exp() * z[..., None]
            low, high = ends.amin(-1), ends.amax(-1)
            for _ in range(torch.finfo(z.dtype).bits):
                x = (low + high) / 2
                below, above = self._log_masses(x)
                too_low = below.logsumexp(-1) - above.logsumexp(-1) < z
                low, high = torch.where(too_low, x, low), torch.where(too_low, high, x)
            x = (low + high) / 2
        if torch.is_grad_enabled():
            # the derivative of an inverse: a step of Newton's method, without its value
            found, log_slope = self.logit(x)
            step = (z - found) * (-log_slope.detach()).exp()
            x = x + (step - step.detach())
        return x

    def _log_masses(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logs (..., K) of each component's mass below x, and of that above."""
        u = (x[..., None] - self.means) * (-self.log_scales).exp()
        return self.log_weights + log_sigmoid(u), self.log_weights + log_sigmoid(-u)


def _spread(k: int) -> Tensor:
    """Return the raw numbers (3, K) of equal components side by side, on [-2, 2]."""
    means = (torch.arange(k) + 0.5) * (4 / k) - 2
    return torch.stack([torch.zeros(k), means, torch.full((k,), math.log(2 / k))])


class MixtureLogit(Bijection):
    """z_d = logit F_d(x_d), each dimension by itself.

    Args:
        num_dims: D of vectors (B, D).
        num_components: K. They start side by side on [-2, 2], where data that have been
            standardised are.
    """

    def __init__(self, num_dims: int, num_components: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(_spread(num_components).repeat(num_dims, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        z, log_slope = Mixture.of(self.raw).logit(x)
        return z, log_slope.sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        return Mixture.of(self.raw).invert(z)


class MixtureCoupling(HalvesCoupling):
    """The half that moves goes through logit F, with mixtures from net(stays).

    Note:
        Flow++ has an affine map after the logit; here an `ActNorm` between couplings does that.

    Args:
        net: Maps (B, D / 2) to (B, 3 K D / 2), zeros at first: changes of `MixtureLogit`'s start.
        num_components: K.
        swap: False: the first half stays. True: the second.
    """

    start: Tensor

    def __init__(self, net: nn.Module, num_components: int, swap: bool = False) -> None:
        super().__init__(net, swap)
        self.register_buffer("start", _spread(num_components), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        stays, moved = self._split(x)
        z, log_slope = self._mixture(stays).logit(moved)
        return self._join(stays, z), log_slope.sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        stays, moved = self._split(z)
        return self._join(stays, self._mixture(stays).invert(moved))

    def _mixture(self, stays: Tensor) -> Mixture:
        change = self.net(stays).to(stays.dtype).unflatten(1, (-1, *self.start.shape))
        return Mixture.of(self.start + change)
