"""One step of Glow.

Kingma & Dhariwal, 2018, "Glow: Generative flow with invertible 1x1 convolutions", arXiv 1807.03039.
"""

from torch import Tensor, nn

from gdl.flows.base import Chain
from gdl.flows.coupling import AdditiveCoupling, AffineCoupling, clipped, sigmoid_scale
from gdl.flows.linear import ActNorm, Conv1x1
from gdl.nn.coupling_networks import ZeroConv

__all__ = ["GlowConditioner", "GlowStep"]


class GlowConditioner(nn.Module):
    """The network of Glow's couplings: a 3x3, a 1x1 and a 3x3 convolution (Section 5).

    It sees the `clipped` half that stays. As in the authors' code an ActNorm and a ReLU follow the
    first two, and the last starts at zero, so that a coupling starts near the identity.

    Args:
        in_channels: Channels of the half that stays.
        out_channels: Channels of shifts and raw scales together.
        width: Hidden channels.
        norm: ActNorm behind the first two convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int, norm: bool = True) -> None:
        super().__init__()
        # an ActNorm has a bias of its own
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=not norm)
        self.conv2 = nn.Conv2d(width, width, 1, bias=not norm)
        self.norm1, self.norm2 = (ActNorm(width) if norm else None for _ in range(2))
        self.last = ZeroConv(width, out_channels)
        for conv in (self.conv1, self.conv2):
            nn.init.normal_(conv.weight, std=0.05)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, stays: Tensor) -> Tensor:
        """Return (B, out_channels, H, W)."""
        h = self.conv1(clipped(stays))
        h = h if self.norm1 is None else self.norm1(h)[0]
        h = self.conv2(h.relu())
        h = h if self.norm2 is None else self.norm2(h)[0]
        return self.last(h.relu())


class GlowStep(Chain):
    """A step of the flow: ActNorm, invertible 1x1 convolution, coupling (Figure 2a and Table 1).

    It maps images x (B, C, H, W) to y of the same shape. The parameters are b and s (C,), W (C, C)
    and those of the network. All products are per pixel; h1, h2, y1, y2, t, r, a (B, C / 2, H, W):

        h = W ((x + b) * e^s),    [h1, h2] = h
        [t, r] = net(h1),    a = sigmoid_scale(r)
        y = [h1, (h2 + t) * a]

        log |det dy/dx| = pixels * (sum s + log |det W|) + sum log a,    shape (B,)

        x = (W^-1 [y1, y2 / a - t]) * e^-s - b,    with t and a from net(y1), because y1 = h1.

    An additive coupling has no r, and a = 1.

    Note:
        The scale is bounded below, see `sigmoid_scale`.

    Args:
        num_channels: C, even.
        width: Hidden channels of the network.
        affine: An affine coupling, else an additive one.
        net_norm: ActNorm inside the network, as in the authors' code.
    """

    def __init__(
        self, num_channels: int, width: int = 512, affine: bool = True, net_norm: bool = True
    ) -> None:
        half = num_channels // 2
        net = GlowConditioner(half, num_channels if affine else half, width, net_norm)
        coupling = AffineCoupling(net, scale=sigmoid_scale) if affine else AdditiveCoupling(net)
        super().__init__([ActNorm(num_channels), Conv1x1(num_channels), coupling])
