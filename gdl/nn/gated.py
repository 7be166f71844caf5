"""The network of the gated PixelCNN: gated layers of two streams at one resolution.

van den Oord et al., 2016, "Conditional image generation with PixelCNN decoders", arXiv 1606.05328,
Eq. 2 and Fig. 2.
"""

from torch import Tensor, nn

from gdl.nn.class_bias import ClassBias
from gdl.nn.dropout import Dropout
from gdl.nn.masked import CausalConv, Piece, TwoStreams, columns

__all__ = ["GatedPixelNet"]


class VerticalLayer(nn.Module):
    """A gated convolution of the vertical stream: tanh(a / 2) sigmoid(b) of its outputs a and b.

    The paper has tanh(a). The factor 1/2 only rescales weights, and makes the gate cheaper.

    Args:
        width: Channels.
        size: Size of the convolution; see `CausalConv`.
        classes: Number of classes, whose biases are added before the gate (Eq. 4 of the paper).
    """

    def __init__(self, width: int, size: int, classes: int = 0) -> None:
        super().__init__()
        self.conv = CausalConv(width, 2 * width, size, vertical=True)
        self.across = nn.Conv2d(2 * width, 2 * width, 1)
        self.class_bias = ClassBias(classes, 2 * width)

    def forward(
        self, v: Tensor, piece: Piece | None, y: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the output (B, width, H, W), and features (B, 2 width, H, W) for the other stream."""
        v = self.class_bias(self.conv(v, piece), y)
        return _gate(v), self.across(v)


class HorizontalLayer(nn.Module):
    """A gated convolution of the horizontal stream, with a residual connection.

    Args:
        width: Channels.
        size: Size of the convolution; see `CausalConv`.
        dropout: Probability that an input of the last 1x1 convolution is zeroed.
        classes: See `VerticalLayer`.
    """

    def __init__(self, width: int, size: int, dropout: float, classes: int = 0) -> None:
        super().__init__()
        self.class_bias = ClassBias(classes, 2 * width)
        self.conv = CausalConv(width, 2 * width, size, vertical=False)
        self.out = CausalConv(width, width, 1, vertical=False)
        self.dropout = Dropout(dropout)

    def forward(
        self, h: Tensor, above: Tensor, piece: Piece | None, y: Tensor | None = None
    ) -> Tensor:
        """Return the output (B, width, H, W); `above` are the vertical layer's features."""
        gates = self.class_bias(self.conv(h, piece) + above, y)
        return h + self.out(self.dropout(_gate(gates)), piece)


class GatedPixelNet(TwoStreams):
    """The vertical and the horizontal stream of the gated PixelCNN.

    Args:
        in_channels: Channels of the image.
        size: (H, W) of the image.
        width: Channels of each stream, and of the features.
        layers: Number of gated layers.
        first: Size of the first convolution; see `CausalConv`.
        kernel: Size of the convolutions of the gated layers.
        dropout: See `HorizontalLayer`.
        classes: See `VerticalLayer`.
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
        classes: int = 0,
    ) -> None:
        super().__init__(in_channels, width, size)
        self.first_down = CausalConv(in_channels + 1, width, first, vertical=True)
        self.first_right = CausalConv(in_channels + 1, width, first, vertical=False)
        self.down = nn.ModuleList(VerticalLayer(width, kernel, classes) for _ in range(layers))
        self.right = nn.ModuleList(
            HorizontalLayer(width, kernel, dropout, classes) for _ in range(layers)
        )

    def vertical(
        self, x: Tensor, piece: Piece | None = None, y: Tensor | None = None
    ) -> list[list[Tensor]]:
        """See `TwoStreams.vertical`."""
        v, above = self.first_down(x, piece), []
        for layer in self.down:
            v, across = layer(v, piece, y)
            above.append(across)
        return [above]

    def horizontal(
        self,
        x: Tensor,
        above: list[list[Tensor]],
        piece: Piece | None = None,
        y: Tensor | None = None,
    ) -> Tensor:
        """See `TwoStreams.horizontal`."""
        h = self.first_right(x, piece)
        for layer, a in zip(self.right, columns(above[0], piece), strict=True):
            h = layer(h, a, piece, y)
        return h


def _gate(h: Tensor) -> Tensor:
    # tanh(a / 2) = 2 sigmoid(a) - 1, so one sigmoid computes both; tanh takes several times as long
    a, b = h.sigmoid().chunk(2, 1)
    return (2 * a - 1) * b
