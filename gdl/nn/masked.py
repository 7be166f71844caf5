"""Causal convolutions in two streams without a blind spot, for whole images or piece by piece.

A vertical stream sees the rows above a position, a horizontal stream the pixels to its left and, at
each layer, the vertical stream (van den Oord et al., 2016, "Conditional image generation with
PixelCNN decoders", arXiv 1606.05328, Fig. 2). No weight is masked: the image is moved down by a row,
or right by a pixel, and the window of each convolution ends at its own position.

Each layer can also compute one piece at a time: a row of the vertical stream, or a pixel of the
horizontal stream. It keeps the earlier inputs in its window, so sampling an image costs as much as
evaluating one (Ramachandran et al., 2017, "Fast generation for convolutional autoregressive models",
arXiv 1704.06001).
"""

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.kernels.products import linear

__all__ = ["CausalConv", "Piece", "TwoStreams", "columns"]


@dataclass
class Piece:
    """The row or the pixel that is computed now, where an image is computed piece by piece.

    Args:
        row: Its row, at the resolution of the layer.
        column: Its column; None for a whole row.
        memory: The earlier inputs that a layer still needs, by layer.
    """

    row: int
    column: int | None = None
    memory: dict[Any, Tensor] = field(default_factory=dict)

    @property
    def is_first(self) -> bool:
        """Whether the piece is the first one in its stream."""
        return (self.row if self.column is None else self.column) == 0

    def half(self) -> "Piece":
        """Return the piece of half the resolution that contains this one."""
        column = None if self.column is None else self.column // 2
        return Piece(self.row // 2, column, self.memory)


class CausalConv(nn.Conv2d):
    """A convolution whose window ends at its own position.

    In a vertical stream the window has (size + 1) / 2 rows, down to its own row, and `size` columns
    around its own. In a horizontal stream it has (size + 1) / 2 pixels of its own row, up to its own.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        size: An odd number.
        vertical: Whether the layer belongs to a vertical stream.
        stride: Stride for whole images; every piece is computed, whatever the stride.
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: int, vertical: bool, stride: int = 1
    ) -> None:
        last = size // 2
        kernel, padding = (
            ((last + 1, size), (last, last)) if vertical else ((1, last + 1), (0, last))
        )
        super().__init__(in_channels, out_channels, kernel, stride, padding)
        self.vertical = vertical

    def forward(self, input: Tensor, piece: Piece | None = None) -> Tensor:
        """Map (B, in_channels, H, W), or a piece of it, to (B, out_channels, H, W)."""
        if piece is None:
            # padding both sides and cutting the result is faster than padding one side
            height, width = (-(-s // self.stride[0]) for s in input.shape[-2:])
            return super().forward(input)[..., :height, :width]
        h = input
        axis, length = (-2, self.kernel_size[0]) if self.vertical else (-1, self.kernel_size[1])
        if length > 1:
            if piece.is_first:
                pad = [0, 0, length - 1, 0] if self.vertical else [length - 1, 0]
                h = F.pad(h, pad)
            else:
                h = torch.cat([piece.memory[self], h], axis)
            piece.memory[self] = h.narrow(axis, 1, length - 1)
        if piece.column is None:
            pad = self.kernel_size[1] // 2 if self.vertical else 0
            return F.conv2d(h, self.weight, self.bias, padding=(0, pad))
        # one pixel: a convolution would cost several times as much as this matrix product
        return linear(h.flatten(1), self.weight.flatten(1), self.bias)[..., None, None]


class TwoStreams(nn.Module, ABC):
    """A network of two streams: features of a position depend only on earlier ones in raster order.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the features.
        size: (H, W) of the image.
    """

    def __init__(self, in_channels: int, out_channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.size = in_channels, out_channels, size

    @abstractmethod
    def vertical(
        self, x: Tensor, piece: Piece | None = None, y: Tensor | None = None
    ) -> list[list[Tensor]]:
        """Return the features for the horizontal stream: a list per resolution, one tensor per layer.

        Args:
            x: (B, in_channels + 1, H, W) moved down by a row, with a channel of ones.
            piece: The row, if x is one row (B, in_channels + 1, 1, W). Then only the resolutions
                that get a new row are returned. The highest resolution comes first.
            y: The class (B,) of each image, see `ClassBias`.
        """

    @abstractmethod
    def horizontal(
        self,
        x: Tensor,
        above: list[list[Tensor]],
        piece: Piece | None = None,
        y: Tensor | None = None,
    ) -> Tensor:
        """Return the features (B, out_channels, H, W).

        Args:
            x: (B, in_channels + 1, H, W) moved to the right by a pixel, with a channel of ones.
            above: The features of the vertical stream, for the image or for the row of the pixel.
            piece: The pixel, if x is one pixel (B, in_channels + 1, 1, 1).
            y: The class (B,) of each image, see `ClassBias`.
        """

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map pixels (B, H W, in_channels) in raster order to features (B, H W, out_channels).

        The images may have classes y (B,), see `ClassBias`.
        """
        # the channel of ones tells pixels from padding; convolutions are fast with channels last
        x = torch.cat([x, torch.ones_like(x[..., :1])], -1).unflatten(1, self.size)
        x = x.permute(0, 3, 1, 2)
        above = self.vertical(F.pad(x, (0, 0, 1, 0))[..., :-1, :], None, y)
        features = self.horizontal(F.pad(x, (1, 0))[..., :-1], above, None, y)
        return features.permute(0, 2, 3, 1).flatten(1, 2)

    def pieces(self, n: int, y: Tensor | None = None) -> Generator[Tensor, Tensor, None]:
        """Yield the features (n, out_channels) of one position of n images after the other.

        The caller sends the pixels (n, in_channels) of a position to get the features of the next
        one in raster order. They equal the features of `forward`, up to rounding.
        """
        height, width = self.size
        like = next(self.parameters())
        memory: dict[Any, Tensor] = {}
        above: list[list[Tensor]] = []
        row = like.new_zeros(n, self.in_channels + 1, 1, width)
        for r in range(height):
            new = self.vertical(row, Piece(r, None, memory), y)
            above = new + above[len(new) :]
            row = torch.ones_like(row)
            pixel = torch.zeros_like(row[..., :1])
            for c in range(width):
                features = self.horizontal(pixel, above, Piece(r, c, memory), y)
                row[:, :-1, 0, c] = yield features.flatten(1)
                pixel = row[..., c : c + 1]


def columns(above: list[Tensor], piece: Piece | None) -> list[Tensor]:
    """Return the features at the column of a pixel; all of them for a row or a whole image."""
    if piece is None or piece.column is None:
        return above
    return [a[..., piece.column : piece.column + 1] for a in above]
