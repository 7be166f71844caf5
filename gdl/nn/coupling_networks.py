"""Networks inside coupling layers. Their output starts at zero, so a flow starts near the identity."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.kernels.recompute import recomputed
from gdl.nn.linear import Linear
from gdl.nn.mlp import perceptron

__all__ = ["ConvConditioner", "NoiseConditioner", "VectorConditioner", "ZeroConv"]


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


class ConvConditioner(nn.Module):
    """Pre-activation residual blocks at one resolution, with skips to the end (Real NVP, App. A).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        width: Channels of the hidden layers.
        blocks: Residual blocks.
        recompute: Compute the activations again in the backward pass instead of keeping them.

    Note:
        The paper uses batch normalisation. Its running statistics make bits/dim in evaluation differ
        from bits/dim in training; a group norm with one group needs no statistics.
    """

    def __init__(
        self, in_channels: int, out_channels: int, width: int, blocks: int, recompute: bool = False
    ) -> None:
        super().__init__()
        self.recompute = recompute
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
        return recomputed(self._layers, x) if self.recompute else self._layers(x)

    def _layers(self, x: Tensor) -> Tensor:
        h = self.stem(torch.cat([x, -x], 1).relu())
        out = self.skips[0](h)
        for block, skip in zip(self.blocks, self.skips[1:], strict=True):
            h = h + block(h)
            out = out + skip(h)
        return self.last(out.relu())


class NoiseConditioner(nn.Module):
    """A small network of a pixel's noise and of the image, at half of the resolution, of any size.

    Args:
        channels: Channels of the image.
        width: Channels of the hidden layers.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(8 * channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
            nn.ReLU(),
            ZeroConv(width, 8 * channels),
            nn.PixelShuffle(2),
        )

    def forward(self, h: Tensor, image: Tensor) -> Tensor:
        """Return (B, 2 C, H, W).

        Args:
            h: Logits of the noise (B, C, H, W), 0 where it is not to be seen.
            image: (B, C, H, W) in [-1, 1].
        """
        height, width = image.shape[2:]
        # logits have long tails; tanh(h / 2) is the noise itself, scaled to (-1, 1)
        seen = torch.cat([torch.tanh(h / 2), image], 1)
        seen = F.pad(seen, (0, width % 2, 0, height % 2))
        return self.layers(seen)[:, :, :height, :width]


class VectorConditioner(nn.Sequential):
    """A ReLU perceptron that maps vectors (B, in_features) to (B, out_features), zero at the start.

    Args:
        in_features: Size of the input.
        out_features: Size of the output.
        hidden: Widths of the hidden layers.
    """

    def __init__(self, in_features: int, out_features: int, hidden: Sequence[int]) -> None:
        sizes = [in_features, *hidden]
        last = Linear(sizes[-1], out_features)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(*perceptron(sizes, "relu"), last)
