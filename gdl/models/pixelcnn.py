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
    ) -> None:
        super().__init__(shape, levels, likelihood)
        for name, size in (("kernel", kernel), ("first_kernel", first_kernel)):
            if size % 2 == 0:
                raise GdlError(f"model.{name} must be odd, got {size}: use {size + 1}.")
        channels, height, image_width = self.shape
        self.net = GatedPixelNet(
            channels, (height, image_width), width, layers, first_kernel, kernel, dropout
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

    def params(self, s: Tensor) -> Tensor:
        """See `AutoregressiveModel.params`."""
        x = self.scale(s).view(len(s), -1, len(self.heads))
        h = self.net(x)
        out = [head(_with(h, x[..., :c])) for c, head in enumerate(self.heads)]
        return torch.stack(out, 2).flatten(1, 2) + self.bias

    def steps(self, n: int) -> PositionSteps:
        """See `AutoregressiveModel.steps`."""
        pieces = self.net.pieces(n)
        h, start = next(pieces), 0
        for biases in self.bias.unflatten(0, (-1, len(self.heads))):
            x = h.new_empty(n, 0)
            for head, bias in zip(self.heads, biases, strict=True):
                values = yield Block(start, (head(_with(h, x)) + bias)[:, None])
                x = torch.cat([x, self.scale(values[:, 0])], 1)
                start += 1
            h = pieces.send(x) if start < self.num_positions else h


def _with(h: Tensor, x: Tensor) -> Tensor:
    return torch.cat([h, x.to(h.dtype)], -1) if x.shape[-1] else h
