"""K coupling layers of vectors as one layer."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.flows.base import Bijection
from gdl.flows.coupling import tanh_scale
from gdl.flows.fused import FusedCouplings, invert_couplings

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
    """

    def __init__(
        self,
        num_dims: int,
        depth: int,
        hidden: Sequence[int],
        affine: bool = True,
        init_range: float | None = None,
    ) -> None:
        super().__init__()
        self.depth, half = depth, num_dims // 2
        sizes = [half, *hidden, 2 * half if affine else half]
        self.affine = affine
        self.stacks = nn.ParameterList()
        for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            last = i == len(hidden)
            default = 0.0 if last else fan_in**-0.5
            bound = default if init_range is None else init_range
            for shape in ((depth, fan_out, fan_in), (depth, fan_out)):
                self.stacks.append(nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        if self._by_hand(x):
            return FusedCouplings.apply(x, *self.stacks)
        log_dets = []
        for layer in self.layers():
            x, log_det = layer(x)
            log_dets.append(log_det)
        return x, torch.stack(log_dets).sum(0)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        if self._by_hand(z) and not torch.is_grad_enabled():
            return invert_couplings(z, tuple(self.stacks))
        a, b = z.chunk(2, 1)
        if self.depth % 2:
            a, b = b, a
        for k in reversed(range(self.depth)):
            # a was moved last, given b
            shift, scale, _ = self.shift_and_scale(b, k)
            a, b = b, (a / scale - shift if self.affine else a - shift)
        return torch.cat([a, b], 1)

    def layers(self) -> list[Bijection]:
        """See `Bijection.layers`."""
        return [_Single(self, k) for k in range(self.depth)]

    def _by_hand(self, x: Tensor) -> bool:
        return not (
            x.device.type != "cpu"
            or torch.is_autocast_enabled("cpu")
            or torch.compiler.is_compiling()
        )

    def shift_and_scale(self, stays: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return shift, scale and log-scale of the half that moves in coupling k, given the other."""
        h = stays
        for i in range(0, len(self.stacks), 2):
            h = F.linear(h if i == 0 else h.relu(), self.stacks[i][k], self.stacks[i + 1][k])
        h = h.to(stays.dtype)
        if not self.affine:
            return h, torch.ones_like(h), torch.zeros_like(h)
        shift, raw = h.chunk(2, 1)
        return shift, *tanh_scale(raw)


class _Single(Bijection):
    """The k-th of some couplings by itself."""

    def __init__(self, all_of_them: VectorCouplings, k: int) -> None:
        super().__init__()
        self.all_of_them, self.k = all_of_them, k

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        stays, moves = self._split(x)
        shift, scale, log_scale = self.all_of_them.shift_and_scale(stays, self.k)
        return self._join(stays, (moves + shift) * scale), log_scale.sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        stays, moved = self._split(z)
        shift, scale, _ = self.all_of_them.shift_and_scale(stays, self.k)
        return self._join(stays, moved / scale - shift)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.chunk(2, 1)
        return (second, first) if self.k % 2 else (first, second)

    def _join(self, stays: Tensor, moved: Tensor) -> Tensor:
        return torch.cat((moved, stays) if self.k % 2 else (stays, moved), 1)
