"""The gated PixelCNN's network: layers of both streams at one resolution.

van den Oord et al., 2016, "Conditional image generation with PixelCNN decoders", arXiv 1606.05328,
Eq. 2 and Fig. 2.
"""

from torch import Tensor, nn

from gdl.nn.masked import CausalConv, Piece, TwoStreams, columns

__all__ = ["GatedPixelNet"]


class VerticalLayer(nn.Module):
    """tanh(a / 2) sigmoid(b) of a convolution with outputs a and b.

    Args:
        width: Channels.
        size: Of the convolution, see `CausalConv`.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.conv = CausalConv(width, 2 * width, size, vertical=True)
        self.across = nn.Conv2d(2 * width, 2 * width, 1)

    def forward(self, v: Tensor, piece: Piece | None) -> tuple[Tensor, Tensor]:
        """Return the stream behind the layer, and what the horizontal layer takes."""
        v = self.conv(v, piece)
        return _gate(v), self.across(v)


class HorizontalLayer(nn.Module):
    """A gated convolution as in `VerticalLayer`, and a step back into a residual stream.

    Args:
        width: Channels.
        size: Of the convolution, see `CausalConv`.
        dropout: Probability that an input of the last step is zeroed.
    """

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__()
        self.conv = CausalConv(width, 2 * width, size, vertical=False)
        self.out = CausalConv(width, width, 1, vertical=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, above: Tensor, piece: Piece | None) -> Tensor:
        """Return the stream behind the layer."""
        return h + self.out(self.dropout(_gate(self.conv(h, piece) + above)), piece)


class GatedPixelNet(TwoStreams):
    """The gated PixelCNN's two streams of layers at one resolution.

    Args:
        in_channels: Channels of the image.
        size: (H, W) of the image.
        width: Channels of each stream, and of the features.
        layers: Gated layers.
        first: Size of the first convolution, see `CausalConv`.
        kernel: Size of all others.
        dropout: See `HorizontalLayer`.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        width: int,
        layers: int,
        first: int = 7,
        kernel: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(in_channels, width, size)
        self.first_down = CausalConv(in_channels + 1, width, first, vertical=True)
        self.first_right = CausalConv(in_channels + 1, width, first, vertical=False)
        self.down = nn.ModuleList(VerticalLayer(width, kernel) for _ in range(layers))
        self.right = nn.ModuleList(HorizontalLayer(width, kernel, dropout) for _ in range(layers))

    def vertical(self, x: Tensor, piece: Piece | None = None) -> list[list[Tensor]]:
        """See `TwoStreams.vertical`."""
        v, above = self.first_down(x, piece), []
        for layer in self.down:
            v, across = layer(v, piece)
            above.append(across)
        return [above]

    def horizontal(
        self, x: Tensor, above: list[list[Tensor]], piece: Piece | None = None
    ) -> Tensor:
        """See `TwoStreams.horizontal`."""
        h = self.first_right(x, piece)
        for layer, a in zip(self.right, columns(above[0], piece), strict=True):
            h = layer(h, a, piece)
        return h


def _gate(h: Tensor) -> Tensor:
    # tanh(a / 2) = 2 sigmoid(a) - 1: one sigmoid does both, and tanh takes several times as long
    a, b = h.sigmoid().chunk(2, 1)
    return (2 * a - 1) * b
