"""K coupling layers of vectors as one layer."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.flows.base import Bijection, Chain
from gdl.flows.coupling import AdditiveCoupling, AffineCoupling
from gdl.flows.fused import FusedCouplings, by_hand, invert_couplings
from gdl.nn.coupling import recomputed

__all__ = ["VectorCouplings"]


class VectorCouplings(Bijection):
    """The halves a, b of vectors move in turn: b becomes (b + shift(a)) * scale(a), or b + shift(a).

    It equals a `Chain` of `AffineCoupling` or `AdditiveCoupling` whose networks are perceptrons with
    ReLU, but the parameters of a kind are one tensor for all K networks, and on a CPU the whole is
    one node of the graph (see `gdl.flows.fused`).

    Args:
        num_dims: D of vectors (B, D), even.
        depth: K.
        hidden: Widths of the hidden layers of the networks, at least one.
        affine: Affine couplings, else additive ones.
        init_range: The networks' parameters start uniform in +- this; None: the hidden layers as in
            `torch.nn.Linear` and the last at zero.
        checkpoint_conditioners: Recompute the networks' activations on the way back.
    """

    def __init__(
        self,
        num_dims: int,
        depth: int,
        hidden: Sequence[int],
        affine: bool = True,
        init_range: float | None = None,
        checkpoint_conditioners: bool = False,
    ) -> None:
        super().__init__()
        self.checkpoint_conditioners = checkpoint_conditioners
        half = num_dims // 2
        sizes = [half, *hidden, 2 * half if affine else half]
        self.stacks = nn.ParameterList()
        for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            last = i == len(hidden)
            default = 0.0 if last else fan_in**-0.5
            bound = default if init_range is None else init_range
            for shape in ((depth, fan_out, fan_in), (depth, fan_out)):
                self.stacks.append(nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))

        coupling = AffineCoupling if affine else AdditiveCoupling
        # not registered as modules: the parameters are those above
        self._layers: list[Bijection] = [
            coupling(_Network(self.stacks, k, checkpoint_conditioners), swap=bool(k % 2))
            for k in range(depth)
        ]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        if by_hand(x) and not self.checkpoint_conditioners:
            return FusedCouplings.apply(x, *self.stacks)
        return Chain(self._layers)(x)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        if by_hand(z) and not torch.is_grad_enabled():
            return invert_couplings(z, tuple(self.stacks))
        return Chain(self._layers).inverse(z)

    def layers(self) -> list[Bijection]:
        """See `Bijection.layers`."""
        return self._layers


class _Network(nn.Module):
    """The k-th of the networks in the stacks."""

    def __init__(self, stacks: nn.ParameterList, k: int, recompute: bool) -> None:
        super().__init__()
        self.stacks, self.k, self.recompute = stacks, k, recompute

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out) of x (B, in)."""
        return recomputed(self._layers, x) if self.recompute else self._layers(x)

    def _layers(self, x: Tensor) -> Tensor:
        for i in range(0, len(self.stacks), 2):
            x = F.linear(
                x if i == 0 else x.relu(), self.stacks[i][self.k], self.stacks[i + 1][self.k]
            )
        return x
