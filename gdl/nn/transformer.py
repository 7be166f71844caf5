"""A causal transformer over the positions of an image, for whole images or one position at a time.

Chen et al., 2020, "Generative pretraining from pixels" (iGPT): a decoder in the style of GPT-2 over
pixels in a fixed order. Here each token also sees a small window around the pixel that it predicts, or
it starts from an embedding of the value before, as in a model of text.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.nn.attention import CausalBlock, Rotary
from gdl.nn.dropout import Dropout
from gdl.nn.linear import Linear
from gdl.nn.token_by_token import TokenByToken

__all__ = ["ImageTransformer", "neighbours"]


class ImageTransformer(nn.Module):
    """A transformer whose features of a position depend only on the positions before it.

    The token of position i starts from the value of position i - 1 and from the values in a small
    window of the image around i, as far as they come before i. Attention adds all other values.
    With `symbols` it starts from an embedding of the value of position i - 1 alone, and the weights
    start as in GPT-2 (Radford et al., 2019): normal with a standard deviation of 0.02, biases zero.

    Args:
        neighbours: (N, K), the positions whose values each token starts from; see `neighbours`.
        width: Features of a token.
        blocks: Number of blocks.
        heads: Attention heads.
        dropout: See `CausalBlock`; with `symbols` also of the embeddings.
        classes: See `CausalBlock`.
        symbols: Number of values, each of which gets an embedding; 0 for values that are numbers.
        positions: "learned", a vector for each position, or "rotary", see `Rotary`.
        mlp: See `CausalBlock`.
    """

    neighbours: Tensor

    def __init__(
        self,
        neighbours: Tensor,
        width: int,
        blocks: int,
        heads: int,
        dropout: float,
        classes: int = 0,
        symbols: int = 0,
        positions: str = "learned",
        mlp: str = "gelu",
    ) -> None:
        super().__init__()
        self.length, self.width, self.heads = len(neighbours), width, heads
        self.symbols = symbols
        if symbols:
            # one more, of what stands before the first position
            self.embedding = nn.Embedding(symbols + 1, width)
            self.dropout = Dropout(dropout)
        else:
            self.register_buffer("neighbours", neighbours)
            self.first = Linear(neighbours.shape[1], width)
        self.position = self.rotary = None
        if positions == "rotary":
            self.rotary = Rotary(self.length, width // heads)
        else:
            self.position = nn.Parameter(0.02 * torch.randn(self.length, width))
        std = 0.02 / (2 * blocks) ** 0.5
        self.blocks = nn.ModuleList(
            CausalBlock(width, heads, dropout, std, classes, mlp) for _ in range(blocks)
        )
        self.last = nn.LayerNorm(width)
        if symbols:
            self._start_as_gpt2(std)

    def _start_as_gpt2(self, residual_std: float) -> None:
        nn.init.normal_(self.embedding.weight, std=0.02)
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Linear):
                residual = name.endswith(("out", "mlp.3"))
                nn.init.normal_(layer.weight, std=residual_std if residual else 0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map values (B, N) of images, perhaps with classes y (B,), to features (B, N, width).

        With `symbols` the values are integers, else numbers.
        """
        h = self._tokens(self.padded(x), slice(0, self.length))
        for block in self.blocks:
            h = block(h, y=y, rotary=self.rotary)
        return self.last(h)

    def padded(self, x: Tensor) -> Tensor:
        """Return values (B, N) with one more, (B, N + 1), which stands for values that do not exist.

        Of symbols it is the first one, and their own number; of numbers it is the last one, and zero.
        """
        if self.symbols:
            return F.pad(x.long(), (1, 0), value=self.symbols)
        return F.pad(x, (0, 1))

    def put(self, x: Tensor, positions: slice, values: Tensor) -> None:
        """Write the values (B, T) of some positions into padded values (B, N + 1)."""
        ahead = bool(self.symbols)
        x[:, positions.start + ahead : positions.stop + ahead] = values

    def _tokens(self, x: Tensor, positions: slice) -> Tensor:
        """Return the tokens (B, T, width) of T positions, from padded values."""
        if self.symbols:
            h = self.embedding(x[:, positions])  # of the values before
        else:
            h = self.first(x[:, self.neighbours[positions]])
        if self.position is not None:
            h = h + self.position[positions]
        return self.dropout(h) if self.symbols else h

    def caches(self, n: int, y: Tensor | None = None) -> TokenByToken:
        """Return empty caches of all blocks, for n sequences, perhaps with classes y (n,)."""
        blocks: Any = self.blocks
        return TokenByToken(blocks, self.last, self.rotary, n, self.length, y)

    def block(
        self, x: Tensor, positions: slice, caches: TokenByToken, y: Tensor | None = None
    ) -> Tensor:
        """Return the features (n, T, width) of T positions; those before are in the caches.

        They equal the features of `forward`, up to rounding. The caches then hold these positions, too.

        Args:
            x: The values (n, N + 1), padded, of these positions and of those before.
            positions: The T positions.
            caches: See `caches`.
            y: The class (n,) of each image, those of the caches.
        """
        h = self._tokens(x, positions)
        if h.shape[1] == 1 and not self.training:
            return caches.step(h.squeeze(1), positions.start).unsqueeze(1)
        for block, kv in zip(self.blocks, caches.past, strict=True):
            h = block(h, kv, positions.start, y, self.rotary)
        return self.last(h)


def neighbours(order: Tensor, channels: int, size: tuple[int, int], window: int) -> Tensor:
    """Return the positions (N, K) whose values each token starts from.

    The first one is the previous position, the others lie in a square around the pixel. The number N
    stands for a position that does not exist or does not come before.

    Args:
        order: (H W,) raster indices of the pixels; N = H W C, the channels of a pixel follow one
            another.
        channels: C.
        size: (H, W).
        window: Odd side of the square.
    """
    reach, n = window // 2, len(order) * channels
    rank = order.argsort().view(size)
    # positions of all channels of the pixels in each window, by position of the pixel itself
    first = F.pad(rank * channels, [reach] * 4, value=n)
    first = first.unfold(0, window, 1).unfold(1, window, 1).flatten(2).flatten(0, 1)[order]
    near = (first[..., None] + torch.arange(channels)).flatten(1).repeat_interleave(channels, 0)
    near = torch.where(near < torch.arange(n)[:, None], near, n)
    before = torch.cat([order.new_tensor([n]), torch.arange(n - 1)])
    return torch.cat([before[:, None], near], 1)
