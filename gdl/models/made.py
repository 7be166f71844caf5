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
from gdl.families.order import pixel_order
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
    ) -> None:
        super().__init__(shape, levels, likelihood, order)
        if not hidden:
            raise GdlError(
                "MADE without a hidden layer is model=fvsbn: use it, or set model.hidden."
            )
        if num_masks < 1:
            raise GdlError(f"model.num_masks={num_masks} leaves no model: use 1 or more.")
        n, p = self.bias.shape
        # the degree of each unit, i.e. on how many positions it depends: inputs, hidden, outputs
        units = [torch.arange(n) + 1]
        units += [1 + torch.arange(width) * (n - 1) // width for width in hidden]
        units += [torch.arange(n).repeat_interleave(p)]
        self.layers = nn.ModuleList(
            PrefixLinear(len(a), torch.searchsorted(a, b, right=True)) for a, b in pairwise(units)
        )
        self.hidden_biases = nn.ParameterList(torch.zeros(width) for width in hidden)
        self.num_masks, self.hidden = num_masks, list(hidden)
        if num_masks > 1:
            names = [f"random-{r}" for r in range(num_masks)] if order == "random" else [order]
            orders = [pixel_order(name, *self.shape[1:]) for name in names]
            self.register_buffer("orders", torch.stack(orders).expand(num_masks, -1).clone())
            g = torch.Generator().manual_seed(0)
            shuffled = [[torch.randperm(w, generator=g) for w in hidden] for _ in range(num_masks)]
            self.register_buffer("shuffled", torch.stack([torch.cat(s) for s in shuffled]))

    def params(self, s: Tensor) -> Tensor:
        """See `AutoregressiveModel.params`."""
        h = self.unit(s).squeeze(-1)
        for layer, (weight, bias) in zip(self.layers, self._in_use(), strict=True):
            h = layer(h if layer is self.layers[0] else h.relu(), bias, weight)
        return h.unflatten(1, self.bias.shape)

    def steps(self, n: int) -> PositionSteps:
        """See `AutoregressiveModel.steps`; each unit is computed with the block of its last input."""
        layers = [
            PrefixLayer(weight, bias, layer.reach)  # pyright: ignore[reportArgumentType]
            for (weight, bias), layer in zip(self._in_use(), self.layers, strict=True)
        ]
        return prefix_steps(PrefixNet(layers, n), self.bias.shape, n, self.unit)

    def _in_use(self) -> list[tuple[Tensor, Tensor]]:
        """Return the weight and bias of each layer, with units in the order of the current mask."""
        weights: list[Any] = [layer.weight for layer in self.layers]
        found = list(zip(weights, [*self.hidden_biases, self.bias.flatten()], strict=True))
        if self.num_masks == 1:
            return found
        (channels, *_), (n, p) = self.shape, self.bias.shape
        pixels = self.orders[0].argsort()[self.order]
        positions = (pixels[:, None] * channels + torch.arange(channels).to(pixels)).flatten()
        outputs = torch.arange(n * p).to(pixels).view(n, p)[positions].flatten()
        units = [positions, *self.shuffled[self.member].split(self.hidden), outputs]
        return [
            (weight.index_select(0, o).index_select(1, i), bias[o])
            for (weight, bias), (i, o) in zip(found, pairwise(units), strict=True)
        ]

    # ---- a mixture of several masks

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> None:
        """Choose the mask of this step by its number, so that a resumed run chooses the same."""
        self.member = self.global_step % self.num_masks

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) (B,) in nats; in training, under the current mask only."""
        if self.training or self.num_masks == 1:
            return super().log_prob(x)
        return self.mask_log_probs(x).logsumexp(0) - math.log(self.num_masks)

    def mask_log_probs(self, x: Tensor) -> Tensor:
        """Return log p(x) (R, B) in nats under each mask."""
        return self._each_member(lambda: self.position_log_probs(x).sum(-1))

    def log_prob_given(self, x: Tensor, known: Tensor) -> Tensor:
        """See `AutoregressiveModel.log_prob_given`.

        Each mask is weighted by its probability of the known pixels that precede all unknown ones in
        its order. This is exact if all known pixels do, see `known_come_first`.
        """
        if self.num_masks == 1:
            return super().log_prob_given(x, known)
        lead = self._each_member(lambda: self._lead(x, known.expand_as(x)))
        rest = self._each_member(lambda: super(MADE, self).log_prob_given(x, known))
        return (lead + rest).logsumexp(0) - lead.logsumexp(0)

    def known_come_first(self, known: Tensor) -> bool:
        """See `AutoregressiveModel.known_come_first`; here for the orders of all masks."""
        come_first = super().known_come_first
        return bool(self._each_member(lambda: torch.tensor(come_first(known))).all())

    def _lead(self, x: Tensor, known: Tensor) -> Tensor:
        """Return the log-probability (B,) of the known pixels before the first unknown one."""
        before = self._known_positions(known).cumprod(-1)
        return (self.position_log_probs(x) * before).sum(-1)

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
        seed: int,
        temperature: float,
        naive: bool,
    ) -> Tensor:
        """See `AutoregressiveModel._complete`; each completion is drawn with one of the masks."""
        if self.num_masks == 1:
            return super()._complete(indices, given, known, seed, temperature, naive)
        noise = SampleNoise(mix_seed("mask", seed), indices, self.device, self.dtype)
        lead = self._each_member(lambda: self._lead(given, known)).T
        chosen = (lead + noise.gumbel(self.num_masks)).argmax(1).cpu()
        out = given.clone()
        for member in chosen.unique().tolist():
            self.member = member
            mine = (chosen == member).nonzero().flatten()
            own = [indices[k] for k in mine.tolist()]
            part = super()._complete(own, given[mine], known[mine], seed, temperature, naive)
            out[mine] = part
        self.member = 0
        return out
