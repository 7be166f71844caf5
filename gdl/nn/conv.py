"""Residual convolutional encoders and decoders for images of any size."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from gdl.errors import GdlError
from gdl.nn.linear import Linear
from gdl.nn.mlp import activation

__all__ = ["ConvDecoder", "ConvEncoder", "ResBlock"]


class ResBlock(nn.Module):
    """A pre-activation residual block whose second convolution starts at zero.

    Args:
        channels: Channels of input and output.
        act: Name of the activation.
        kernel: Size of the second convolution.
    """

    def __init__(self, channels: int, act: str, kernel: int = 1) -> None:
        super().__init__()
        self.net = nn.Sequential(
            activation(act),
            nn.Conv2d(channels, channels, 3, padding=1),
            activation(act),
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2),
        )
        for p in self.net[-1].parameters():
            nn.init.zeros_(p)

    def forward(self, h: Tensor) -> Tensor:
        """Return (B, channels, H, W)."""
        return h + self.net(h)


def _pyramid(height: int, width: int, patch: int, smallest: int) -> list[tuple[int, int]]:
    """Return the size (H, W) of each stage: halved, rounding up, until a side is `smallest` or less.

    Raises:
        GdlError: The patch does not divide the image size.
    """
    if height % patch or width % patch:
        raise GdlError(
            f"model.encoder.patch={patch} does not divide the image size {height}x{width}: use "
            "model.encoder.patch=1."
        )
    sizes = [(height // patch, width // patch)]
    while min(sizes[-1]) > smallest:
        h, w = sizes[-1]
        sizes.append(((h + 1) // 2, (w + 1) // 2))
    return sizes


class ConvEncoder(nn.Module):
    """Map images (B, C, H, W) to vectors (B, out_features).

    Args:
        shape: (C, H, W).
        out_features: Size of the output.
        channels: Channels of the first stage; doubled at each halving of the size.
        blocks: Residual blocks per stage.
        patch: Squares of patch x patch pixels become channels before the first stage. With 2 the
            network is about three times as fast.
        smallest: The size is halved while the shorter side is larger than this.
        max_channels: Largest number of channels of a stage.
        act: Name of the activation.
    """

    def __init__(
        self,
        shape: Sequence[int],
        out_features: int,
        channels: int = 32,
        blocks: int = 1,
        patch: int = 1,
        smallest: int = 4,
        max_channels: int = 128,
        act: str = "silu",
    ) -> None:
        super().__init__()
        self.patch = patch
        sizes = _pyramid(shape[1], shape[2], patch, smallest)
        widths = [min(channels * 2**i, max_channels) for i in range(len(sizes))]
        layers: list[nn.Module] = [nn.Conv2d(shape[0] * patch**2, widths[0], 3, padding=1)]
        for i, width in enumerate(widths):
            if i > 0:
                layers.append(nn.Conv2d(widths[i - 1], width, 3, stride=2, padding=1))
            layers += [ResBlock(width, act) for _ in range(blocks)]
        h, w = sizes[-1]
        self.net = nn.Sequential(*layers, activation(act), nn.Flatten())
        self.head = Linear(widths[-1] * h * w, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_features)."""
        return self.head(self.net(F.pixel_unshuffle(x, self.patch)))


class ConvDecoder(nn.Module):
    """Map vectors (..., in_features) to maps (..., P, H, W), mirroring `ConvEncoder`.

    Args:
        in_features: Size of the input.
        shape: (P, H, W).
        channels: Channels of the last stage; see `ConvEncoder`.
        blocks: Residual blocks per stage.
        patch: See `ConvEncoder`.
        smallest: See `ConvEncoder`.
        max_channels: See `ConvEncoder`.
        act: Name of the activation.
    """

    def __init__(
        self,
        in_features: int,
        shape: Sequence[int],
        channels: int = 32,
        blocks: int = 1,
        patch: int = 1,
        smallest: int = 4,
        max_channels: int = 128,
        act: str = "silu",
    ) -> None:
        super().__init__()
        self.patch = patch
        self.sizes = _pyramid(shape[1], shape[2], patch, smallest)[::-1]
        n = len(self.sizes)
        widths = [min(channels * 2**i, max_channels) for i in range(n)][::-1]
        self.top = (widths[0], *self.sizes[0])
        self.stem = Linear(in_features, widths[0] * self.sizes[0][0] * self.sizes[0][1])
        self.grow = nn.ModuleList(
            nn.Conv2d(widths[i - 1], widths[i], 3, padding=1) for i in range(1, n)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResBlock(width, act) for _ in range(blocks))) for width in widths
        )
        size = 3 if patch == 1 else 1
        last = nn.Conv2d(widths[-1], shape[0] * patch**2, size, padding="same")
        self.head = nn.Sequential(activation(act), last)

    def forward(self, z: Tensor) -> Tensor:
        """Return (..., P, H, W)."""
        h = self.stages[0](self.stem(z.reshape(-1, z.shape[-1])).unflatten(-1, self.top))
        for size, conv, stage in zip(self.sizes[1:], self.grow, self.stages[1:], strict=True):
            h = stage(conv(F.interpolate(h, size=size)))
        return F.pixel_shuffle(self.head(h), self.patch).unflatten(0, z.shape[:-1])
