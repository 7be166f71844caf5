"""PixelCNN: van den Oord et al., 2016, "Conditional image generation with PixelCNN decoders".

arXiv 1606.05328. Gated convolutions in two streams, which together see all earlier pixels.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gdl.distributions import Likelihood, default_conditional
from gdl.errors import GdlError
from gdl.families.ancestral import Block, PositionSteps
from gdl.families.autoregressive import AutoregressiveModel
from gdl.nn.class_bias import ClassBias
from gdl.nn.gated import GatedPixelNet
from gdl.nn.linear import Linear

__all__ = ["PixelCNN"]


class PixelCNN(AutoregressiveModel):
    """Two streams of gated convolutions, then a small network per channel at each pixel.

    Sampling evaluates each layer once per pixel.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values of a pixel.
        likelihood: See `AutoregressiveModel`.
        width: Channels of each stream.
        layers: Number of gated layers.
        first_kernel: Odd size of the first convolution.
        kernel: Odd size of the others.
        hidden: Width of the network at each pixel.
        dropout: Probability that a channel is dropped inside a layer.
        num_classes: See `GenerativeModel`.
        label_dropout: See `GenerativeModel`.
        ends: See `AutoregressiveModel`.

    Raises:
        GdlError: A kernel is even.

    Note:
        In the paper all layers have groups of channels for red, green and blue. Here the streams see
        whole pixels, and the network of a channel also gets the earlier channels of its pixel.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        likelihood: Callable[..., Likelihood] = default_conditional,
        width: int = 32,
        layers: int = 6,
        first_kernel: int = 7,
        kernel: int = 3,
        hidden: int = 64,
        dropout: float = 0.0,
        num_classes: int = 0,
        label_dropout: float = 0.0,
        ends: Sequence[int] | None = None,
    ) -> None:
        super().__init__(shape, levels, likelihood, "raster", num_classes, label_dropout, ends)
        for name, size in (("kernel", kernel), ("first_kernel", first_kernel)):
            if size % 2 == 0:
                raise GdlError(f"model.{name} must be odd, got {size}: use {size + 1}.")
        channels, height, image_width = self.shape
        size, rows = (height, image_width), self.label_rows
        self.net = GatedPixelNet(
            channels, size, width, layers, first_kernel, kernel, dropout, rows
        )
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                Linear(width + c, hidden),
                nn.ReLU(),
                Linear(hidden, self.likelihood.num_params),
            )
            for c in range(channels)
        )
        self.class_hidden = nn.ModuleList(ClassBias(rows, hidden) for _ in range(channels))

    def params(self, s: Tensor, y: Tensor | None = None) -> Tensor:
        """See `AutoregressiveModel.params`."""
        x = self.scale(s).view(len(s), -1, len(self.heads))
        h = self.net(x, y)
        out = [self._head(c, _with(h, x[..., :c]), y) for c in range(len(self.heads))]
        return torch.stack(out, 2).flatten(1, 2) + self.biases(y)

    def features(self, x: Tensor) -> Tensor:
        """Return the last gated layer (B, width), its mean over the pixels."""
        s = self.scale(self.sequence(x)).view(len(x), -1, len(self.heads))
        return self.net(s, self.rows_without_label(x)).mean(1)

    def _head(self, channel: int, h: Tensor, y: Tensor | None) -> Tensor:
        """Return the parameters (B, ..., P) of a channel; the hidden layer has a bias of the class."""
        act, first, act2, last = self.heads[channel]  # pyright: ignore[reportGeneralTypeIssues]
        return last(act2(self.class_hidden[channel](first(act(h)), y, axis=-1)))

    def steps(self, n: int, y: Tensor | None = None) -> PositionSteps:
        """See `AutoregressiveModel.steps`."""
        pieces = self.net.pieces(n, y)
        h, start = next(pieces), 0
        for biases in self.biases(y).unflatten(-2, (-1, len(self.heads))).unbind(-3):
            x = h.new_empty(n, 0)
            for channel, bias in enumerate(biases.unbind(-2)):
                out = self._head(channel, _with(h, x), y) + bias
                values = yield Block(start, out[:, None])
                x = torch.cat([x, self.scale(values[:, 0])], 1)
                start += 1
            h = pieces.send(x) if start < self.num_positions else h


def _with(h: Tensor, x: Tensor) -> Tensor:
    return torch.cat([h, x.to(h.dtype)], -1) if x.shape[-1] else h
