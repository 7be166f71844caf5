"""A causal transformer over the positions of an image, for whole images or one position at a time.

Chen et al., 2020, "Generative pretraining from pixels" (iGPT): a decoder in the style of GPT-2 over
pixels in a fixed order. Here each token also sees a small window around the pixel that it predicts.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.nn.class_bias import ClassBias
from gdl.nn.dropout import Dropout
from gdl.nn.linear import Linear

__all__ = ["CausalBlock", "ImageTransformer", "KeyValues", "neighbours"]


class KeyValues:
    """The key-value cache of one block: keys and values of the tokens so far.

    Args:
        n: Number of images.
        heads: Attention heads.
        length: Number of tokens of a whole image.
        size: Size of a key in one head.
        like: A tensor with the dtype and the device of the cache.
    """

    def __init__(self, n: int, heads: int, length: int, size: int, like: Tensor) -> None:
        self._all = like.new_empty(2, n, heads, length, size)

    def put(self, start: int, new: Tensor) -> Tensor:
        """Put in the keys and values (2, n, heads, T, size) of the tokens from `start` on.

        The result, (2, n, heads, start + T, size), has those of all tokens up to there.
        """
        stop = start + new.shape[-2]
        self._all[..., start:stop, :] = new
        return self._all[..., :stop, :]


class CausalBlock(nn.Module):
    """A transformer block: causal self-attention, then an MLP, each behind a LayerNorm.

    Args:
        width: Features of a token.
        heads: Attention heads; each has width / heads features.
        dropout: Probability that an output of the attention or of the MLP is zeroed.
        std: Standard deviation of the initial weights of the last layer of attention and MLP. It is
            small, so that the residual stream keeps its size through many blocks.
        classes: Number of classes, whose biases are added to the input of the block.
    """

    def __init__(
        self, width: int, heads: int, dropout: float, std: float, classes: int = 0
    ) -> None:
        super().__init__()
        self.class_bias = ClassBias(classes, width)
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        last = Linear(4 * width, width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), Linear(width, 4 * width), nn.GELU(), last)
        for layer in (self.out, last):
            nn.init.normal_(layer.weight, std=std)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        h: Tensor,
        past: KeyValues | None = None,
        start: int = 0,
        y: Tensor | None = None,
    ) -> Tensor:
        """Map tokens (B, T, width) to (B, T, width).

        Args:
            h: All tokens, or those from `start` on.
            past: The cache of the tokens before `start`.
            start: Position of the first token.
            y: The class (B,) of each image, see `ClassBias`.
        """
        h = self.class_bias(h, y, axis=-1)
        qkv = self.qkv(self.norm(h)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # the gradient of unbind is one stack; indexing would make a tensor of zeros for each part
        q, k, v = qkv.unbind() if past is None else (qkv[0], *past.put(start, qkv[1:]))
        mask = None
        if past is not None and h.shape[1] > 1:
            mask = torch.ones(h.shape[1], start + h.shape[1], dtype=torch.bool, device=h.device)
            mask = mask.tril(start)
        found = F.scaled_dot_product_attention(q, k, v, mask, is_causal=past is None)
        h = h + self.dropout(self.out(found.transpose(1, 2).flatten(2)))
        return h + self.dropout(self.mlp(h))


class ImageTransformer(nn.Module):
    """A transformer whose features of a position depend only on the positions before it.

    The token of position i starts from the value of position i - 1 and from the values in a small
    window of the image around i, as far as they come before i. Attention adds all other values.

    Args:
        neighbours: (N, K), the positions whose values each token starts from; see `neighbours`.
        width: Features of a token.
        blocks: Number of blocks.
        heads: Attention heads.
        dropout: See `CausalBlock`.
        classes: See `CausalBlock`.
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
    ) -> None:
        super().__init__()
        self.heads = heads
        self.register_buffer("neighbours", neighbours)
        self.first = Linear(neighbours.shape[1], width)
        self.position = nn.Parameter(0.02 * torch.randn(len(neighbours), width))
        std = 0.02 / (2 * blocks) ** 0.5
        self.blocks = nn.ModuleList(
            CausalBlock(width, heads, dropout, std, classes) for _ in range(blocks)
        )
        self.last = nn.LayerNorm(width)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map values (B, N) of images, perhaps with classes y (B,), to features (B, N, width)."""
        h = self.first(self.padded(x)[:, self.neighbours]) + self.position
        for block in self.blocks:
            h = block(h, y=y)
        return self.last(h)

    @staticmethod
    def padded(x: Tensor) -> Tensor:
        """Return values (B, N) with a zero behind them, for neighbours that do not exist."""
        return F.pad(x, (0, 1))

    def caches(self, n: int) -> list[KeyValues]:
        """Return an empty cache for each block, for n sequences."""
        length, width = self.position.shape
        size = width // self.heads
        return [KeyValues(n, self.heads, length, size, self.position) for _ in self.blocks]

    def block(
        self, x: Tensor, positions: slice, past: list[KeyValues], y: Tensor | None = None
    ) -> Tensor:
        """Return the features (n, T, width) of T positions; those before are in the caches.

        They equal the features of `forward`, up to rounding. The caches then hold these positions, too.

        Args:
            x: The values (n, N + 1), padded, of these positions and of those before.
            positions: The T positions.
            past: The cache of each block.
            y: The class (n,) of each image, see `ClassBias`.
        """
        h = self.first(x[:, self.neighbours[positions]]) + self.position[positions]
        for block, kv in zip(self.blocks, past, strict=True):
            h = block(h, kv, positions.start, y)
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
