"""Networks inside coupling layers: they start at zero, so that a flow starts near the identity."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.flows.base import DataInitialized
from gdl.nn.mlp import activation

__all__ = ["ConvConditioner", "GlowConditioner", "MLPConditioner", "ZeroConv"]


class MLPConditioner(nn.Sequential):
    """Maps vectors (B, in) to (B, out).

    Args:
        in_features: Size of the input.
        out_features: Size of the output.
        hidden: Widths of the hidden layers.
        act: Name of the activation.
    """

    def __init__(
        self, in_features: int, out_features: int, hidden: Sequence[int], act: str = "relu"
    ) -> None:
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(in_features, width), activation(act)]
            in_features = width
        last = nn.Linear(in_features, out_features)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(*layers, last)


class ZeroConv(nn.Module):
    """A 3x3 convolution that starts at zero, with a gain exp(3 g) per channel (Glow's code).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # pyright: ignore[reportArgumentType]
        self.log_gain = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, H, W)."""
        gain = (3 * self.log_gain).exp()
        bias = self.conv.bias
        assert bias is not None
        return F.conv2d(x, self.conv.weight * gain.view(-1, 1, 1, 1), bias * gain, padding=1)


class NormedConv(DataInitialized):
    """A convolution followed by an ActNorm, folded into its weights: one pass over the image.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        size: Side of the kernel.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, size, size))
        nn.init.normal_(self.weight, std=0.05)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.log_gain = nn.Parameter(torch.zeros(out_channels))
        self.padding = size // 2

    def set_from(self, h: Tensor) -> None:
        """Set the outputs of the first batch to mean 0 and standard deviation 1 per channel."""
        mean, log_std = self.moments(F.conv2d(h, self.weight, padding=self.padding))
        # the learning rate of a gain is three times the others', as in Glow's code
        self.log_gain.copy_(-log_std / 3)
        self.bias.copy_(-mean * (-log_std).exp())

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, H, W)."""
        self._maybe_set(x)
        weight = self.weight * (3 * self.log_gain).exp().view(-1, 1, 1, 1)
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class GlowConditioner(nn.Sequential):
    """3x3 convolution, 1x1 convolution, 3x3 convolution that starts at zero (Glow, Section 3.3).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        width: Channels in between.
        norm: ActNorm after the first two convolutions, as in Glow's code.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int, norm: bool = True) -> None:
        def conv(i: int, size: int) -> nn.Module:
            if norm:
                return NormedConv(i, width, size)
            return nn.Conv2d(i, width, size, padding=size // 2)

        super().__init__(
            conv(in_channels, 3),
            nn.ReLU(inplace=True),
            conv(width, 1),
            nn.ReLU(inplace=True),
            ZeroConv(width, out_channels),
        )


class ConvConditioner(nn.Module):
    """Pre-activation residual blocks at full resolution, with skips to the end (Real NVP, App. A).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        width: Channels in between.
        blocks: Residual blocks.

    Note:
        The paper's nets use batch normalisation, whose running statistics make bits/dim in
        evaluation differ from training's; a group norm of one group does without.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2 * in_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
            )
            for _ in range(blocks)
        )
        self.skips = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(blocks + 1))
        self.last = ZeroConv(width, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, H, W)."""
        h = self.stem(torch.cat([x, -x], 1).relu())
        out = self.skips[0](h)
        for block, skip in zip(self.blocks, self.skips[1:], strict=True):
            h = h + block(h)
            out = out + skip(h)
        return self.last(out.relu())
