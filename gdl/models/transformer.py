"""Transformer: Chen et al., 2020, "Generative pretraining from pixels".

ICML (iGPT). A causal transformer over the pixels of an image; see also Vaswani et al., 2017,
"Attention is all you need", arXiv 1706.03762.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gdl.distributions import Likelihood, default_conditional
from gdl.errors import GdlError
from gdl.families.ancestral import Block, PositionSteps, block_size, num_final
from gdl.families.autoregressive import AutoregressiveModel
from gdl.nn.attention import ImageTransformer, neighbours
from gdl.nn.linear import Linear

__all__ = ["Transformer"]


class Transformer(AutoregressiveModel):
    """A causal transformer with one token per channel and pixel, which attends to all earlier tokens.

    Sampling caches their keys and values.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values of a pixel.
        likelihood: See `AutoregressiveModel`.
        order: See `AutoregressiveModel`.
        width: Features of a token.
        blocks: Number of blocks of attention and MLP.
        heads: Attention heads.
        window: Odd side of the square around a pixel whose earlier values its token starts from. A
            token always starts from the value before it.
        dropout: Probability that an output of attention or MLP is dropped.
        num_classes: See `GenerativeModel`.
        label_dropout: See `GenerativeModel`.

    Raises:
        GdlError: The image has more than MAX_TOKENS values, the heads do not divide the width, or
            the window is even.
    """

    MAX_TOKENS = 4096

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        likelihood: Callable[..., Likelihood] = default_conditional,
        order: str = "raster",
        width: int = 64,
        blocks: int = 3,
        heads: int = 4,
        window: int = 5,
        dropout: float = 0.0,
        num_classes: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        super().__init__(shape, levels, likelihood, order, num_classes, label_dropout)
        if self.num_positions > self.MAX_TOKENS:
            raise GdlError(
                f"Transformer attends to every value of an image, here {self.num_positions:,}, and "
                f"takes up to {self.MAX_TOKENS:,}: use smaller images or model=pixelcnn."
            )
        if width % heads:
            raise GdlError(
                f"model.heads={heads} do not divide model.width={width}: use model.heads=1."
            )
        if window % 2 == 0:
            raise GdlError(f"model.window must be odd, got {window}: use {window + 1}.")
        channels, height, image_width = self.shape
        near = neighbours(self.order, channels, (height, image_width), window)
        self.net = ImageTransformer(near, width, blocks, heads, dropout, self.label_rows)
        self.head = Linear(width, self.likelihood.num_params)

    def params(self, s: Tensor, y: Tensor | None = None) -> Tensor:
        """See `AutoregressiveModel.params`."""
        return self.head(self.net(self.scale(s).squeeze(-1), y)) + self.biases(y)

    def features(self, x: Tensor) -> Tensor:
        """Return the last block (B, width), its mean over the tokens."""
        s = self.scale(self.sequence(x)).squeeze(-1)
        return self.net(s, self.rows_without_label(x)).mean(1)

    def steps(self, n: int, y: Tensor | None = None) -> PositionSteps:
        """See `AutoregressiveModel.steps`."""
        past = self.net.caches(n)
        s = torch.zeros(n, self.num_positions, 1, dtype=torch.uint8, device=self.device)
        x = self.net.padded(self.scale(s).squeeze(-1))
        start, size, biases = 0, block_size(4, n, self.device), self.biases(y)
        while start < self.num_positions:
            block = slice(start, min(start + size, self.num_positions))
            features = self.net.block(x, block, past, y)
            values = yield Block(start, self.head(features) + biases[..., block, :])
            final = num_final(values, s[:, block])
            s[:, block], x[:, block] = values, self.scale(values).squeeze(-1)
            start += final
            size = block_size(final, n, self.device)
