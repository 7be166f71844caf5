"""Causal self-attention: a transformer block, its cache of keys and values, and rotary positions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.nn.class_bias import ClassBias
from gdl.nn.dropout import Dropout
from gdl.nn.linear import Linear

__all__ = ["CausalBlock", "GatedSiLU", "KeyValues", "Rotary"]


class KeyValues:
    """The key-value cache of one block: keys and values of the tokens so far.

    Args:
        room: Memory for the keys and values (2, n, heads, length, size) of whole images.
    """

    def __init__(self, room: Tensor) -> None:
        self._all = room

    def put(self, start: int, k: Tensor, v: Tensor) -> Tensor:
        """Put in the keys and values (n, heads, T, size) of the tokens from `start` on.

        The result, (2, n, heads, start + T, size), has those of all tokens up to there.
        """
        stop = start + k.shape[-2]
        self._all[0, ..., start:stop, :], self._all[1, ..., start:stop, :] = k, v
        return self._all[..., :stop, :]


class Rotary(nn.Module):
    """Rotary positions (Su et al., 2021, "RoFormer", arXiv 2104.09864, Sec. 3.2).

    Feature d of a query or key, and feature d + size / 2, are the coordinates of a point, which is
    turned by the angle i / 10000^(2 d / size) at position i. So the product of a query and a key
    depends on the distance of their positions only.

    Args:
        length: Number of positions.
        size: Features of a query in one head; even.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, length: int, size: int) -> None:
        super().__init__()
        speed = 10_000 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        angle = torch.arange(length)[:, None] * speed
        # they follow from the sizes, so a checkpoint needs none of them
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Turn queries or keys (..., T, size) of the positions from `start` on."""
        stop = start + x.shape[-2]
        cos, sin = self.cos[start:stop], self.sin[start:stop]
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).to(x.dtype)


class GatedSiLU(nn.Module):
    """The activation of SwiGLU (Shazeer, 2020, arXiv 2002.05202): a value times silu of its gate."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., M) of gates and values (..., 2 M)."""
        gate, value = x.chunk(2, -1)
        return F.silu(gate) * value


def _mlp(kind: str, width: int) -> nn.Sequential:
    """Return a LayerNorm and the MLP of a block, the last layer of which is at -1.

    With SwiGLU it has three matrices instead of two, so its hidden layer is narrower by a third.
    """
    gated = kind == "swiglu"
    hidden = 8 * -(-width // 3) if gated else 4 * width
    last = Linear(hidden, width)  # first, as the weights are drawn in this order
    first = Linear(width, 2 * hidden if gated else hidden)
    activation = GatedSiLU() if gated else nn.GELU()
    return nn.Sequential(nn.LayerNorm(width), first, activation, last)


class CausalBlock(nn.Module):
    """A transformer block: causal self-attention, then an MLP, each behind a LayerNorm.

    Args:
        width: Features of a token.
        heads: Attention heads; each has width / heads features.
        dropout: Probability that an output of the attention or of the MLP is zeroed.
        std: Standard deviation of the initial weights of the last layer of attention and MLP. It is
            small, so that the residual stream keeps its size through many blocks.
        classes: Number of classes, whose biases are added to the input of the block.
        mlp: "gelu" or "swiglu".
    """

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float,
        std: float,
        classes: int = 0,
        mlp: str = "gelu",
    ) -> None:
        super().__init__()
        self.class_bias = ClassBias(classes, width)
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        self.mlp = _mlp(mlp, width)
        for layer in (self.out, self.mlp[-1]):
            nn.init.normal_(layer.weight, std=std)  # pyright: ignore[reportArgumentType]
        self.dropout = Dropout(dropout)

    def forward(
        self,
        h: Tensor,
        past: KeyValues | None = None,
        start: int = 0,
        y: Tensor | None = None,
        rotary: Rotary | None = None,
    ) -> Tensor:
        """Map tokens (B, T, width) to (B, T, width).

        Args:
            h: All tokens, or those from `start` on.
            past: The cache of the tokens before `start`.
            start: Position of the first token.
            y: The class (B,) of each image, see `ClassBias`.
            rotary: Turns queries and keys.
        """
        h = self.class_bias(h, y, axis=-1)
        qkv = self.qkv(self.norm(h)).unflatten(-1, (3, self.heads, -1))
        # the gradient of unbind is one stack, in an order that nothing has to copy again
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        if rotary is not None:
            q, k = rotary(q, start), rotary(k, start)
        if past is not None:
            k, v = past.put(start, k, v).unbind()
        mask, length = None, h.shape[1]
        if start and length > 1:
            mask = torch.ones(length, start + length, dtype=torch.bool, device=h.device)
            mask = mask.tril(start)
        found = F.scaled_dot_product_attention(q, k, v, mask, is_causal=not start)
        h = h + self.dropout(self.out(found.transpose(1, 2).flatten(2)))
        return h + self.dropout(self.mlp(h))
