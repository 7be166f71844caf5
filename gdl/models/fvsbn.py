"""FVSBN: Frey, 1998, "Graphical models for machine learning and digital communication".

MIT Press. The fully visible sigmoid belief network; see also Gan et al., 2015, "Learning deep sigmoid
belief networks with data augmentation" (AISTATS).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gdl.distributions import Likelihood, default_conditional
from gdl.errors import GdlError
from gdl.families.ancestral import PositionSteps, prefix_steps
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.sequences import are_symbols
from gdl.nn.prefix import PrefixLayer, PrefixLinear, PrefixNet

__all__ = ["FVSBN"]


class FVSBN(AutoregressiveModel):
    """A logistic regression of each position on the earlier ones: p(x_i = 1) = sigmoid(W_i x_<i + b_i).

    Together they are one product with a strictly lower triangular matrix W. With more than two levels
    the parameters of the likelihood, e.g. the logits of a softmax, are linear in the earlier pixels,
    or with `tokens` have a bias for each earlier symbol.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values of a pixel.
        likelihood: See `AutoregressiveModel`.
        order: See `AutoregressiveModel`.
        num_classes: See `GenerativeModel`.
        label_dropout: See `GenerativeModel`.
        ends: See `AutoregressiveModel`.
        tokens: Whether values are symbols; see `are_symbols`.

    Raises:
        GdlError: W would have more than MAX_WEIGHTS entries.
    """

    MAX_WEIGHTS = 100_000_000

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        likelihood: Callable[..., Likelihood] = default_conditional,
        order: str = "raster",
        num_classes: int = 0,
        label_dropout: float = 0.0,
        ends: Sequence[int] | None = None,
        tokens: bool | None = False,
    ) -> None:
        super().__init__(shape, levels, likelihood, order, num_classes, label_dropout, ends)
        self._arguments["tokens"] = self.tokens = are_symbols(tokens, shape, levels)
        (n, p), self.width = self.bias.shape, levels if self.tokens else 1
        if (count := n * self.width * n * p) > self.MAX_WEIGHTS:
            fix = "use data=binarized_mnist, smaller images, or likelihood=discretized_logistic."
            if self.tokens:
                most = int(self.MAX_WEIGHTS**0.5) // levels
                fix = f"use data.length={most} or less, data.alphabet=characters, or model=made."
            raise GdlError(
                f"FVSBN needs a weight for each pair of pixels and parameter, here {count:,}: {fix}"
            )
        # output i p + j is parameter j of position i
        reach = self.width * torch.arange(n).repeat_interleave(p)
        self.linear = PrefixLinear(n * self.width, reach)
        nn.init.zeros_(self.linear.weight)

    def params(self, s: Tensor, y: Tensor | None = None) -> Tensor:
        """See `AutoregressiveModel.params`."""
        out = self.linear(self.inputs(s), self.bias.flatten())
        out, shift = out.unflatten(1, self.bias.shape), self.class_bias.of(y)
        return out if shift is None else out + shift

    def steps(self, n: int, y: Tensor | None = None) -> PositionSteps:
        """See `AutoregressiveModel.steps`."""
        shift = self.class_bias.of(y)
        shift = None if shift is None else shift.flatten(1).T
        layer = PrefixLayer(self.linear.weight, self.bias.flatten(), self.linear.reach, shift)
        net = PrefixNet([layer], n)
        return prefix_steps(net, self.bias.shape, n, self.inputs, self.width)
