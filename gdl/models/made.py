"""MADE: Germain et al., 2015, "MADE: Masked autoencoder for distribution estimation".

arXiv 1502.03509. A perceptron whose weights are masked so that each output depends only on earlier
positions; with several masks, a mixture of such models.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gdl.distributions import Likelihood, default_conditional
from gdl.errors import GdlError
from gdl.families.ancestral import PositionSteps, prefix_steps
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.drawing import Drawing
from gdl.families.order import pixel_order
from gdl.families.sequences import are_symbols
from gdl.nn.class_bias import ClassBias
from gdl.nn.prefix import PrefixLayer, PrefixLinear, PrefixNet
from gdl.noise import SampleNoise, mix_seed

__all__ = ["MADE"]


class MADE(AutoregressiveModel):
    """A multi-layer perceptron in which each unit depends on a prefix of the positions.

    A hidden unit of degree m depends on the first m positions, and the output of position i on units
    of degree at most i (Germain et al., Eqs. 8-13; there degrees are random, here they are spread
    evenly). Units are sorted by degree, so masks are staircases and sampling computes each unit once.

    With `num_masks` R > 1 the model is a mixture: p(x) is the mean of R densities, which share their
    weights but differ in the degrees of their units and, if `order` is "random", in their orders.
    They are trained in turn, one per step (Section 4.2 of the paper). In evaluation log_prob uses all
    of them, in training one.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values of a pixel.
        likelihood: See `AutoregressiveModel`.
        order: See `AutoregressiveModel`.
        hidden: Widths of the hidden layers.
        num_masks: R, the number of densities in the mixture.
        num_classes: See `GenerativeModel`.
        label_dropout: See `GenerativeModel`.
        ends: See `AutoregressiveModel`.
        tokens: Whether values are symbols, each of which is an input of its own; see `are_symbols`.

    Raises:
        GdlError: `hidden` is empty, or `num_masks` is less than 1.
    """

    shuffled: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        likelihood: Callable[..., Likelihood] = default_conditional,
        order: str = "raster",
        hidden: Sequence[int] = (1000,),
        num_masks: int = 1,
        num_classes: int = 0,
        label_dropout: float = 0.0,
        ends: Sequence[int] | None = None,
        tokens: bool | None = False,
    ) -> None:
        super().__init__(shape, levels, likelihood, order, num_classes, label_dropout, ends)
        if not hidden:
            raise GdlError(
                "MADE without a hidden layer is model=fvsbn: use it, or set model.hidden."
            )
        if num_masks < 1:
            raise GdlError(f"model.num_masks={num_masks} leaves no model: use 1 or more.")
        if ends is not None and num_masks > 1:
            raise GdlError(
                f"model.num_masks={num_masks} is a mixture, whose weights would depend on sources, and "
                "these do not count: use model.num_masks=1."
            )
        self._arguments["tokens"] = self.tokens = are_symbols(tokens, shape, levels)
        (n, p), self.width = self.bias.shape, levels if self.tokens else 1
        # the degree of each unit, i.e. on how many positions it depends: inputs, hidden, outputs
        units = [torch.arange(n).repeat_interleave(self.width) + 1]
        units += [1 + torch.arange(width) * (n - 1) // width for width in hidden]
        units += [torch.arange(n).repeat_interleave(p)]
        self.layers = nn.ModuleList(
            PrefixLinear(len(a), torch.searchsorted(a, b, right=True)) for a, b in pairwise(units)
        )
        # of the inputs of a symbol one is not zero
        self.layers[0].weight.data *= self.width**0.5
        self.hidden_biases = nn.ParameterList(torch.zeros(width) for width in hidden)
        self.class_hidden = nn.ModuleList(ClassBias(self.label_rows, width) for width in hidden)
        self.num_masks, self.hidden = num_masks, list(hidden)
        if num_masks > 1:
            names = [f"random-{r}" for r in range(num_masks)] if order == "random" else [order]
            orders = [pixel_order(name, *self.shape[1:]) for name in names]
            self.register_buffer("orders", torch.stack(orders).expand(num_masks, -1).clone())
            g = torch.Generator().manual_seed(0)
            shuffled = [[torch.randperm(w, generator=g) for w in hidden] for _ in range(num_masks)]
            self.register_buffer("shuffled", torch.stack([torch.cat(s) for s in shuffled]))

    def params(self, s: Tensor, y: Tensor | None = None) -> Tensor:
        """See `AutoregressiveModel.params`."""
        return self._outputs(s, y)[-1].unflatten(1, self.bias.shape)

    def features(self, x: Tensor) -> Tensor:
        """Return the last hidden layer (B, H), of the first mask; a unit of it sees a prefix of x."""
        return self._outputs(self.sequence(x), self.rows_without_label(x))[-2].relu()

    def _outputs(self, s: Tensor, y: Tensor | None) -> list[Tensor]:
        """Return what comes out of each layer (B, units), before the activation."""
        outputs, h = [], self.inputs(s)
        for layer, (weight, bias, shift) in zip(self.layers, self._in_use(y), strict=True):
            h = layer(outputs[-1].relu() if outputs else h, bias, weight)
            outputs.append(h if shift is None else h + shift)
        return outputs

    def steps(self, n: int, y: Tensor | None = None) -> PositionSteps:
        """See `AutoregressiveModel.steps`; each unit is computed with the block of its last input."""
        layers = [
            PrefixLayer(weight, bias, layer.reach, None if shift is None else shift.T)  # pyright: ignore[reportArgumentType]
            for (weight, bias, shift), layer in zip(self._in_use(y), self.layers, strict=True)
        ]
        net = PrefixNet(layers, n)
        return prefix_steps(net, self.bias.shape, n, self.inputs, self.width)

    def _in_use(self, y: Tensor | None) -> list[tuple[Tensor, Tensor, Tensor | None]]:
        """Return the weight and bias of each layer, with units in the order of the current mask.

        A conditional model adds the biases (B, units) of the rows y (B,).
        """
        weights: list[Any] = [layer.weight for layer in self.layers]
        shifts: list[Any] = [None] * len(weights)
        if y is not None:
            own: list[Any] = [*self.class_hidden, self.class_bias]
            shifts = [bias.of(y).flatten(1) for bias in own]
        biases = [*self.hidden_biases, self.bias.flatten()]
        found = list(zip(weights, biases, shifts, strict=True))
        if self.num_masks == 1:
            return found
        (channels, *_), (n, p) = self.shape, self.bias.shape
        pixels = self.orders[0].argsort()[self.order]
        positions = (pixels[:, None] * channels + torch.arange(channels).to(pixels)).flatten()
        inputs, outputs = (
            torch.arange(n * k).to(pixels).view(n, k)[positions].flatten() for k in (self.width, p)
        )
        units = [inputs, *self.shuffled[self.member].split(self.hidden), outputs]
        return [
            (
                weight.index_select(0, o).index_select(1, i),
                bias[o],
                None if shift is None else shift[:, o],
            )
            for (weight, bias, shift), (i, o) in zip(found, pairwise(units), strict=True)
        ]

    # ---- a mixture of several masks

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Choose the mask of this step by its number, so that a resumed run chooses the same."""
        self.member = self.global_step % self.num_masks

    def _log_prob(self, x: Tensor, y: Tensor | None) -> Tensor:
        """See `AutoregressiveModel._log_prob`; in training, it is that of the current mask."""
        if self.training or self.num_masks == 1:
            return super()._log_prob(x, y)
        joint = self._each_member(lambda: self.position_log_probs(x, y).sum(-1))
        return joint.logsumexp(0) - math.log(self.num_masks)

    def _log_rest(self, x: Tensor, known: Tensor, y: Tensor | None) -> Tensor:
        """See `AutoregressiveModel._log_rest`.

        Each mask is weighted by its probability of the known pixels that precede all unknown ones in
        its order. This is exact if all known pixels do, see `known_come_first`.
        """
        if self.num_masks == 1:
            return super()._log_rest(x, known, y)
        lead = self._each_member(lambda: super(MADE, self)._log_lead(x, known, y))
        rest = self._each_member(lambda: super(MADE, self)._log_rest(x, known, y))
        return (lead + rest).logsumexp(0) - lead.logsumexp(0)

    def _log_lead(self, x: Tensor, known: Tensor, y: Tensor | None) -> Tensor:
        """See `AutoregressiveModel._log_lead`; the mean over the masks."""
        if self.num_masks == 1:
            return super()._log_lead(x, known, y)
        lead = self._each_member(lambda: super(MADE, self)._log_lead(x, known, y))
        return lead.logsumexp(0) - math.log(self.num_masks)

    def known_come_first(self, known: Tensor) -> bool:
        """See `AutoregressiveModel.known_come_first`; here for the orders of all masks."""
        come_first = super().known_come_first
        return bool(self._each_member(lambda: torch.tensor(come_first(known))).all())

    def _each_member(self, f: Callable[[], Tensor]) -> Tensor:
        """Call f once with each mask; return the results, stacked."""
        found = []
        for member in range(self.num_masks):
            self.member = member
            found.append(f())
        self.member = 0
        return torch.stack(found)

    def _complete(
        self,
        indices: Sequence[int],
        given: Tensor,
        known: Tensor,
        y: Tensor | None,
        how: Drawing,
    ) -> Tensor:
        """See `AutoregressiveModel._complete`; each completion is drawn with one of the masks."""
        if self.num_masks == 1:
            return super()._complete(indices, given, known, y, how)
        noise = SampleNoise(mix_seed("mask", how.seed), indices, self.device, self.dtype)
        lead = self._each_member(lambda: super(MADE, self)._log_lead(given, known, y)).T
        chosen = (lead + noise.gumbel(self.num_masks)).argmax(1).cpu()
        out = given.clone()
        for member in chosen.unique().tolist():
            self.member = member
            mine = (chosen == member).nonzero().flatten()
            own = [indices[k] for k in mine.tolist()]
            rows = None if y is None else y[mine.to(y.device)]
            out[mine] = super()._complete(own, given[mine], known[mine], rows, how)
        self.member = 0
        return out
