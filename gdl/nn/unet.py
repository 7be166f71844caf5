"""A small U-Net: Ronneberger et al., 2015, "U-Net: Convolutional Networks for Biomedical ..."."""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from gdl.nn.conv import ResBlock
from gdl.nn.mlp import activation

__all__ = ["UNet"]


class UNet(nn.Module):
    """Map images (B, in_channels, H, W) to images (B, C, H, W); the output starts at zero.

    It works on squares of patch x patch pixels as channels, as in FFDNet (Zhang et al., 2018), which
    makes it fast. Each scale below has half the size; what it finds is added to the scale above. The
    images may have any size: what is missing to whole squares is repeated and then cut off.

    Args:
        in_channels: Channels of the input.
        shape: (C, H, W) of the images; the number of scales is made for them.
        channels: Channels of the first scale; doubled at each one below.
        blocks: Residual blocks per scale on the way down, and as many on the way up.
        patch: Side of the squares.
        smallest: There is one scale more while the shorter side is larger than this.
        max_channels: Largest number of channels of a scale.
        act: Name of the activation.
    """

    def __init__(
        self,
        in_channels: int,
        shape: Sequence[int],
        channels: int = 32,
        blocks: int = 1,
        patch: int = 2,
        smallest: int = 7,
        max_channels: int = 128,
        act: str = "relu",
    ) -> None:
        super().__init__()
        self.patch = patch
        side, scales = -(-min(shape[1:]) // patch), 1
        while side > smallest:
            side, scales = -(-side // 2), scales + 1
        widths = [min(channels * 2**i, max_channels) for i in range(scales)]
        stage = lambda width: nn.Sequential(*(ResBlock(width, act, 3) for _ in range(blocks)))  # noqa: E731
        self.stem = nn.Conv2d(in_channels * patch**2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(stage(width) for width in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(stage(width) for width in widths[:-1])
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.head = nn.Sequential(
            activation(act), nn.Conv2d(widths[0], shape[0] * patch**2, 3, padding=1)
        )
        for p in self.head[-1].parameters():
            nn.init.zeros_(p)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        height, width = x.shape[-2:]
        multiple = self.patch * 2 ** len(self.shrink)
        below, right = -height % multiple, -width % multiple
        if below or right:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        h = self.stem(F.pixel_unshuffle(x, self.patch))
        above = []
        for i, shrink in enumerate(self.shrink):
            h = self.down[i](h)
            above.append(h)
            h = shrink(h)
        h = self.down[-1](h)
        for i in reversed(range(len(self.up))):
            h = self.up[i](above[i] + F.interpolate(self.grow[i](h), scale_factor=2.0))
        return F.pixel_shuffle(self.head(h), self.patch)[..., :height, :width]
