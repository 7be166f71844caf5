"""PixelCNN++: Salimans et al., 2017, "PixelCNN++: Improving the PixelCNN".

arXiv 1701.05517, by Salimans, Karpathy, Chen and Kingma; the full title goes on "with discretized
logistic mixture likelihood and other modifications".
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from gdl.distributions import DiscretizedLogisticMixture, Likelihood
from gdl.families.ancestral import Block, PositionSteps
from gdl.families.autoregressive import AutoregressiveModel
from gdl.nn.linear import Linear
from gdl.nn.pyramid import PyramidPixelNet

__all__ = ["PixelCNNpp"]


class PixelCNNpp(AutoregressiveModel):
    """Gated residual blocks at several resolutions, and a mixture of logistics over whole pixels.

    Sampling evaluates each layer once per pixel of its resolution.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values of a pixel.
        likelihood: See `AutoregressiveModel`. Only the default mixture makes the channels of a pixel
            depend on each other; with any other they are independent given the earlier pixels.
        width: Channels of each stream.
        blocks: Blocks per stream and resolution on the way down, and as many on the way up.
        resolutions: Number of resolutions; each has half the height and width of the one before.
        dropout: Probability that a channel is dropped inside a block.
        num_classes: See `GenerativeModel`.
        label_dropout: See `GenerativeModel`.
        ends: See `AutoregressiveModel`.
    """

    joint_channels = True

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        likelihood: Callable[..., Likelihood] = DiscretizedLogisticMixture,
        width: int = 32,
        blocks: int = 1,
        resolutions: int = 3,
        dropout: float = 0.0,
        num_classes: int = 0,
        label_dropout: float = 0.0,
        ends: Sequence[int] | None = None,
    ) -> None:
        super().__init__(shape, levels, likelihood, "raster", num_classes, label_dropout, ends)
        channels, height, image_width = self.shape
        size = (height, image_width)
        rows = self.label_rows
        self.net = PyramidPixelNet(channels, size, width, blocks, resolutions, dropout, rows)
        self.head = Linear(width, self.likelihood.num_params)

    def params(self, s: Tensor, y: Tensor | None = None) -> Tensor:
        """See `AutoregressiveModel.params`."""
        return self.head(self.net(self.scale(s), y)) + self.biases(y)

    def features(self, x: Tensor) -> Tensor:
        """Return the last block (B, width), its mean over the pixels."""
        s = self.scale(self.sequence(x))
        return self.net(s, self.rows_without_label(x)).mean(1)

    def steps(self, n: int, y: Tensor | None = None) -> PositionSteps:
        """See `AutoregressiveModel.steps`."""
        pieces = self.net.pieces(n, y)
        h = next(pieces)
        for i, bias in enumerate(self.biases(y).unbind(-2)):
            values = yield Block(i, (self.head(h) + bias)[:, None])
            if i + 1 < self.num_positions:
                h = pieces.send(self.scale(values[:, 0]))
