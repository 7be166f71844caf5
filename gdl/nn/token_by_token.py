"""One token after the other through a transformer, by as few calls as possible.

A token of a small transformer takes less time than the calls that compute it. So these bind the
weights once for a set of draws, keep what all blocks remember in one tensor, of which one call makes
all views of a step, and call functions instead of modules. The readable form is `CausalBlock.forward`.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.kernels.products import row_product
from gdl.nn.attention import CausalBlock, KeyValues, Rotary

__all__ = ["TokenByToken"]

Map = Callable[[Tensor], Tensor]


class _Block(NamedTuple):
    """A block as functions of tokens (n, width)."""

    bias: Tensor | None
    """The biases (n, width) of the classes."""
    norm: Map
    qkv: Map
    out: Map
    mlp_norm: Map
    first: Map
    activation: Map
    last: Map


class TokenByToken:
    """The blocks of a transformer in eval mode, and the keys and values of the tokens so far.

    Args:
        blocks: The blocks.
        norm: The LayerNorm behind them.
        rotary: See `CausalBlock.forward`.
        n: Number of sequences.
        length: Number of tokens of a whole sequence.
        y: See `CausalBlock.forward`.

    Attributes:
        past: The key-value cache of each block, for passes of several tokens.
    """

    def __init__(
        self,
        blocks: Iterable[CausalBlock],
        norm: nn.LayerNorm,
        rotary: Rotary | None,
        n: int,
        length: int,
        y: Tensor | None = None,
    ) -> None:
        every = [*blocks]
        heads, width = every[0].heads, norm.weight.shape[0]
        self._blocks = [_bound(block, n, y) for block in every]
        self._last = _normed(norm)
        self._shape = (n, 3, heads, width // heads)
        # the queries too, so that one copy puts in all three
        room = norm.weight.new_empty(len(every), 3, n, heads, length, width // heads)
        self.past = [KeyValues(part[1:]) for part in room.unbind()]
        self._queries, self._all = room[:, 0], room.flatten(0, 1)
        self._tokens = room.transpose(1, 2)
        self._turn = None if rotary is None else _turned(rotary)

    def step(self, h: Tensor, i: int) -> Tensor:
        """Return the features (n, width) of the token h (n, width) at position i."""
        q = self._queries.narrow(-2, i, 1).unbind()
        every = self._all.narrow(-2, 0, i + 1).unbind()
        slots, shape = self._tokens.select(-2, i).unbind(), self._shape
        turn = None if self._turn is None else [t[i] for t in self._turn]
        for k, (bias, norm, qkv, out, mlp_norm, first, activation, last) in enumerate(
            self._blocks
        ):
            if bias is not None:
                h = h + bias
            slot, found = slots[k], qkv(norm(h)).view(shape)
            slot.copy_(found)
            if turn is not None:
                slot, found = slot[:, :2], found[:, :2]  # queries and keys
                torch.addcmul(found * turn[0], found.roll(shape[-1] // 2, -1), turn[1], out=slot)
            seen = F.scaled_dot_product_attention(q[k], every[3 * k + 1], every[3 * k + 2])
            h = h + out(seen.flatten(1))
            h = h + last(activation(first(mlp_norm(h))))
        return self._last(h)


def _bound(block: CausalBlock, n: int, y: Tensor | None) -> _Block:
    mlp: Any = block.mlp
    mlp_norm, first, activation, last = mlp
    linear = [row_product(m.weight, m.bias, n) for m in (block.qkv, block.out, first, last)]
    qkv, out, first, last = linear
    function = F.gelu if isinstance(activation, nn.GELU) else activation.forward
    bias = block.class_bias.of(y)
    return _Block(bias, _normed(block.norm), qkv, out, _normed(mlp_norm), first, function, last)


def _normed(layer: nn.LayerNorm) -> Map:
    shape, weight, bias, eps = layer.normalized_shape, layer.weight, layer.bias, layer.eps
    return lambda h: torch.layer_norm(h, shape, weight, bias, eps)


def _turned(rotary: Rotary) -> tuple[Tensor, Tensor]:
    """Return c, s (length, size): x turned is c x + s x', where x' has the halves of x swapped."""
    cos, sin = rotary.cos, rotary.sin
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)
