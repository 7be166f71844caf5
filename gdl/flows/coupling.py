"""Coupling layers: one half stays, a network of it moves the other half.

Dinh et al., 2014, "NICE", arXiv 1410.8516; 2017, "Density estimation using Real NVP",
arXiv 1605.08803. The Jacobian is triangular, so the log-determinant is a sum of log-scales.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.flows.base import Bijection

__all__ = [
    "LOWEST",
    "WIDEST",
    "AdditiveCoupling",
    "AffineCoupling",
    "HalvesCoupling",
    "clipped",
    "move",
    "move_back",
    "sigmoid_scale",
    "tanh_log_scale",
    "tanh_scale",
]

ScaleMap = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Map of a network's real output to a bounded scale and its logarithm."""


def tanh_scale(raw: Tensor, bound: float = 2.0) -> tuple[Tensor, Tensor]:
    """Return e^s and s = bound * tanh(raw / bound): within exp(+-bound), and 1 at raw = 0."""
    log_scale = tanh_log_scale(raw, bound)
    return log_scale.exp(), log_scale


def tanh_log_scale(raw: Tensor, bound: float = 2.0) -> Tensor:
    """Return bound * tanh(raw / bound), which is about raw near 0."""
    return bound * torch.tanh(raw / bound)


LOWEST = 0.5
"""Lower bound of `sigmoid_scale`."""

WIDEST = 4.0
"""Bound of what `clipped` leaves of a number."""


def sigmoid_scale(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Return LOWEST + (1 - LOWEST) sigmoid(raw + 2), Glow's scale with a lower bound, and its log.

    Glow's own sigmoid(raw + 2) comes arbitrarily close to 0, and sampling, which divides by it,
    then explodes while the likelihood looks fine (Behrmann et al., 2021, arXiv 2006.09347).
    """
    scale = torch.sigmoid(raw + 2) * (1 - LOWEST) + LOWEST
    return scale, scale.log()


def clipped(stays: Tensor) -> Tensor:
    """Return what a coupling's network sees of the half that stays: at most +-WIDEST.

    Data hardly exceed it, as each step begins with an ActNorm. But a network of ReLUs continues
    linearly where it has seen no data, so that in samples one step's outlier is the next one's
    larger outlier; what it sees clipped ends that, and the coupling is a bijection with any network.
    """
    return F.hardtanh(stays, -WIDEST, WIDEST)


def move(moved: Tensor, shift: Tensor, scale: Tensor | None) -> Tensor:
    """Return (moved + shift) * scale, or moved + shift without a scale."""
    return moved + shift if scale is None else (moved + shift) * scale


def move_back(moved: Tensor, shift: Tensor, scale: Tensor | None) -> Tensor:
    """Return the inverse of `move`: moved / scale - shift, or moved - shift without a scale."""
    return moved - shift if scale is None else moved / scale - shift


class HalvesCoupling(Bijection):
    """What couplings of the two halves of dimension 1 share: to split, to join, to hold a network.

    Args:
        net: Called with the half that stays (B, C / 2, ...).
        swap: False: the first half stays. True: the second.
    """

    def __init__(self, net: nn.Module, swap: bool = False) -> None:
        super().__init__()
        self.net, self.swap = net, swap

    def compile_networks(self) -> None:
        """See `Bijection.compile_networks`."""
        self.net.compile()

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the half that stays and the half that moves."""
        first, second = x.chunk(2, 1)
        return (second, first) if self.swap else (first, second)

    def _join(self, stays: Tensor, moved: Tensor) -> Tensor:
        return torch.cat((moved, stays) if self.swap else (stays, moved), 1)


class AdditiveCoupling(HalvesCoupling):
    """One half is shifted by a network of the other (NICE, Section 3.2).

    With x = [x1, x2] and z = [z1, z2], each half (B, C / 2, ...), and t = net(x1):

        z1 = x1,  z2 = x2 + t,    log |det dz/dx| = 0,    x1 = z1,  x2 = z2 - t.

    Args:
        net: Maps (B, C / 2, ...) to (B, C / 2, ...): the shifts t.
        swap: False: the first half stays. True: the second.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        stays, moved = self._split(x)
        shift = self.net(stays).to(x.dtype)
        return self._join(stays, move(moved, shift, None)), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        stays, moved = self._split(z)
        return self._join(stays, move_back(moved, self.net(stays).to(z.dtype), None))


class AffineCoupling(HalvesCoupling):
    """One half is shifted and scaled by a network of the other (Glow, Table 1).

    With x = [x1, x2] and z = [z1, z2], each half (B, C / 2, ...), [t, r] = net(x1) and a = scale(r):

        z1 = x1,  z2 = (x2 + t) * a,    log |det dz/dx| = sum log a,    x1 = z1,  x2 = z2 / a - t.

    Args:
        net: Maps (B, C / 2, ...) to (B, C, ...): first the shifts t, then the raw scales r.
        swap: False: the first half stays. True: the second.
        scale: Maps raw scales to scales a and log a; a bounded one keeps the inverse stable.
    """

    def __init__(self, net: nn.Module, swap: bool = False, scale: ScaleMap = tanh_scale) -> None:
        super().__init__(net, swap)
        self.scale = scale

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        stays, moved = self._split(x)
        shift, (scale, log_scale) = self._shift_and_scale(stays)
        return self._join(stays, move(moved, shift, scale)), log_scale.flatten(1).sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        stays, moved = self._split(z)
        shift, (scale, _) = self._shift_and_scale(stays)
        return self._join(stays, move_back(moved, shift, scale))

    def _shift_and_scale(self, stays: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        shift, raw = self.net(stays).to(stays.dtype).chunk(2, 1)
        return shift, self.scale(raw)
