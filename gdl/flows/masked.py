"""Couplings of pixels in a checkerboard.

Dinh et al., 2017, "Density estimation using Real NVP", arXiv 1605.08803, Section 3.4.
"""

import torch
from torch import Tensor, nn

from gdl.flows.base import Bijection
from gdl.flows.coupling import tanh_scale

__all__ = ["MaskedCoupling", "checkerboard"]


class MaskedCoupling(Bijection):
    """Pixels where the mask is 1 stay, a network of them moves the others (Real NVP, Eq. 9).

    With m the mask and [t, r] = net(m * x), t and log a = tanh_scale(r) set to 0 where m is 1:

        z = (x + t) * a,    log |det dz/dx| = sum log a,    x = z / a - t.

    Args:
        net: Maps (B, C, ...) to (B, 2 C, ...): first the shifts, then the raw scales. What is `given`
            to a coupling follows as further arguments: a flow of something given it.
        mask: Broadcastable to an example (C, ...); 1 stays, 0 moves.
    """

    mask: Tensor

    def __init__(self, net: nn.Module, mask: Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mask", mask.to(torch.get_default_dtype()))

    def forward(self, x: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        shift, scale, log_scale = self._shift_and_scale(x, *given)
        return (x + shift) * scale, log_scale.flatten(1).sum(1)

    def inverse(self, z: Tensor, *given: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        shift, scale, _ = self._shift_and_scale(z, *given)
        return z / scale - shift

    def compile_networks(self) -> None:
        """See `Bijection.compile_networks`."""
        self.net.compile()

    def _shift_and_scale(self, x: Tensor, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return shift, scale and log-scale: exactly 0, 1 and 0 where the mask is 1."""
        moves = 1 - self.mask
        shift, raw = self.net(x * self.mask, *given).to(x.dtype).chunk(2, 1)
        return shift * moves, *tanh_scale(raw * moves)


def checkerboard(height: int, width: int, odd: bool = False) -> Tensor:
    """Return a mask (1, H, W): 1 where row + column is even, or odd (Real NVP, Figure 3)."""
    parity = torch.arange(height)[:, None] + torch.arange(width)
    return ((parity % 2) == int(odd)).float()[None]
