"""Linear layers whose outputs each depend on a prefix of the inputs, as a whole and block by block."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.kernels.cpu import by_hand
from gdl.kernels.products import addmm
from gdl.kernels.staircase import StaircaseProduct, cut_staircase

__all__ = ["PrefixLayer", "PrefixLinear", "PrefixNet"]


class PrefixLinear(nn.Module):
    """A linear layer whose outputs see prefixes: y_o = b_o + sum over i < reach_o of W_oi x_i.

    Since `reach` does not decrease, the used part of W is a staircase. On a CPU it is multiplied as a
    few rectangles, which skips most masked entries: with many inputs and outputs half of the work.

    Args:
        in_features: Number of inputs I.
        reach: (O,), the number of inputs that each output sees, in increasing order.
    """

    reach: Tensor

    def __init__(self, in_features: int, reach: Tensor) -> None:
        super().__init__()
        weight = torch.empty(len(reach), in_features)  # first, it fails where it is too large
        self.register_buffer("reach", reach, persistent=False)
        self._staircase = cut_staircase(reach, in_features)
        # the initial variance of an output is as in a linear layer with reach_o inputs
        bound = reach.clamp(min=1)[:, None] ** -0.5
        self.weight = nn.Parameter(bound * weight.uniform_(-1, 1))

    def extra_repr(self) -> str:
        """Return the sizes, for `repr`."""
        return f"{self.weight.shape[1]}, {len(self.reach)}"

    def forward(self, x: Tensor, bias: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return y (B, O) for x (B, I) and b (O,); `weight`, if given, replaces the layer's W."""
        weight = self.weight if weight is None else weight
        if by_hand(x):
            return StaircaseProduct.apply(x, weight, bias, self._staircase)  # pyright: ignore[reportReturnType]
        mask = torch.arange(x.shape[1], device=x.device) < self.reach[:, None]
        return F.linear(x, weight * mask, bias)


class PrefixLayer(NamedTuple):
    """The weight W (O, I), the bias (O,) and the reach (O,) of a `PrefixLinear`.

    A `shift` (O, n) is added to the bias, for each of n examples.
    """

    weight: Tensor
    bias: Tensor
    reach: Tensor
    shift: Tensor | None = None

    def biases(self, rows: slice) -> Tensor:
        """Return these biases (O', 1), or (O', n) with those of the examples."""
        bias = self.bias[rows, None]
        return bias if self.shift is None else bias + self.shift[rows]

    def part(self, rows: slice, columns: slice) -> Tensor:
        """Return this part of W, zero where an output does not see an input."""
        inputs = torch.arange(columns.start, columns.stop, device=self.weight.device)
        return self.weight[rows, columns] * (inputs < self.reach[rows, None])


class PrefixNet:
    """A stack of prefix layers with ReLU between them, evaluated block by block.

    What earlier blocks contribute is computed once per block; what the inputs of the block contribute,
    as often as they are guessed.

    Args:
        layers: From the inputs to the outputs.
        n: Number of examples.
    """

    def __init__(self, layers: Sequence[PrefixLayer], n: int) -> None:
        self._layers = layers
        first = layers[0].weight
        # inputs and hidden units by layer, examples last; the first ones of each are final
        self._units = [first.new_zeros(layer.weight.shape[1], n) for layer in layers]
        self._final = [0] * len(layers)
        self._base: list[Tensor] = []
        self._inner: list[Tensor] = []
        self._blocks: list[slice] = []

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self._units[0].device

    def open(self, stop: int, outputs: slice) -> None:
        """Begin a block, which follows the last one.

        Args:
            stop: The end of the block; its last input is seen by no unit of the block.
            outputs: The outputs that belong to the block.
        """
        self._base, self._inner, self._blocks = [], [], []
        seen = self._final[0]
        block = slice(seen, stop - 1)
        for k, layer in enumerate(self._layers):
            last = k + 1 == len(self._layers)
            if last:
                rows = outputs
            else:
                # units of which all inputs are final, then those that see inputs of the block
                ready, some = (self._count(k, n) for n in (seen, block.stop))
                self._settle(k, slice(self._final[k + 1], ready), seen)
                self._final[k + 1] = ready
                rows = slice(ready, some)
            before = self._units[k][:seen]
            base = addmm(layer.biases(rows), layer.weight[rows, :seen], before)
            self._base.append(base)
            self._inner.append(layer.part(rows, block))
            self._blocks.append(rows)
            seen, block = rows.start, rows

    def outputs(self, inputs: Tensor) -> Tensor:
        """Return the outputs (O', n) of the block, given a guess of its inputs (T, n)."""
        h = inputs[:-1]
        for k, (base, inner, rows) in enumerate(
            zip(self._base[:-1], self._inner[:-1], self._blocks[:-1], strict=True)
        ):
            h = addmm(base, inner, h, out=self._units[k + 1][rows]).relu_()
        return addmm(self._base[-1], self._inner[-1], h)

    def close(self, inputs: Tensor) -> None:
        """End the block, with its inputs (T, n); all but the last one were the last guess."""
        start = self._final[0]
        self._units[0][start : start + len(inputs)] = inputs
        self._final[0] = start + len(inputs)
        self._final[1:] = [rows.stop for rows in self._blocks[:-1]]

    def _settle(self, k: int, rows: slice, seen: int) -> None:
        """Compute units of the layer k + 1 that see all of the first `seen` units before them."""
        if rows.start < rows.stop:
            layer, out = self._layers[k], self._units[k + 1][rows]
            before = self._units[k][:seen]
            addmm(layer.biases(rows), layer.weight[rows, :seen], before, out=out).relu_()

    def _count(self, k: int, seen: int) -> int:
        """Return the number of outputs of layer k that see at most the first `seen` inputs."""
        return int(torch.searchsorted(self._layers[k].reach, seen, right=True))
