"""K coupling layers of vectors as one layer."""

import functools
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from gdl.flows.base import Bijection
from gdl.flows.coupling import move, move_back, tanh_scale
from gdl.flows.stacked.vector_couplings_cpu import FusedCouplings, invert_couplings
from gdl.kernels.cpu import Layers, by_hand, networks
from gdl.kernels.recompute import recomputed

__all__ = ["VectorCouplings"]


class VectorCouplings(Bijection):
    """The halves a, b of vectors move in turn: b becomes (b + shift(a)) * scale(a), or b + shift(a).

    The networks are perceptrons with ReLU. Their parameters of a kind are one tensor for all K, and on
    a CPU the whole is one node of the graph (see `gdl.flows.stacked.vector_couplings_cpu`).

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

        self._views: tuple[list[int], list[Layers]] | None = None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        if by_hand(x) and not self.checkpoint_conditioners:
            return FusedCouplings.apply(x, self._networks(), *self.stacks)
        return _couple(x, networks(tuple(self.stacks)), False, self.checkpoint_conditioners)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        if by_hand(z) and not torch.is_grad_enabled():
            return invert_couplings(z, self._networks())
        return _decouple(z, networks(tuple(self.stacks)), False)

    def _networks(self) -> list[Layers]:
        """Return the networks as views of the stacks, which are kept: to make them takes time."""
        key = [s.data_ptr() for s in self.stacks]
        if self._views is None or self._views[0] != key:
            with torch.no_grad():
                self._views = (key, networks(tuple(self.stacks)))
        return self._views[1]

    def layers(self) -> list[Bijection]:
        """See `Bijection.layers`."""
        return [_Coupling(self.stacks, k) for k in range(len(self.stacks[0]))]


class _Coupling(Bijection):
    """The k-th of the couplings in the stacks."""

    def __init__(self, stacks: nn.ParameterList, k: int) -> None:
        super().__init__()
        self.stacks, self.k = stacks, k

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        return _couple(x, self._network(), self.k % 2 > 0, False)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        return _decouple(z, self._network(), self.k % 2 > 0)

    def _network(self) -> list[Layers]:
        return networks([s[self.k : self.k + 1] for s in self.stacks])


def _couple(
    x: Tensor, nets: Sequence[Layers], swapped: bool, recompute: bool
) -> tuple[Tensor, Tensor]:
    """Return z (B, D) and the log-determinant (B,); swapped: the second half stays first."""
    stays, moves = _halves(x, swapped)
    log_det = x.new_zeros(len(x))
    run = functools.partial(recomputed, _shift_and_scale) if recompute else _shift_and_scale
    for net in nets:
        shift, scale, log_scale = run(stays, *net)
        if log_scale is not None:
            log_det = log_det + log_scale.sum(0)
        stays, moves = move(moves, shift, scale), stays
    return _join(stays, moves, swapped ^ (len(nets) % 2 > 0)), log_det


def _decouple(z: Tensor, nets: Sequence[Layers], swapped: bool) -> Tensor:
    moved, stays = _halves(z, swapped ^ (len(nets) % 2 > 0))
    for net in reversed(nets):
        shift, scale, _ = _shift_and_scale(stays, *net)
        moved, stays = stays, move_back(moved, shift, scale)
    return _join(moved, stays, swapped)


def _halves(x: Tensor, swapped: bool) -> tuple[Tensor, Tensor]:
    """Return the halves of the columns of x (B, D), each (D / 2, B)."""
    a, b = x.t().chunk(2)
    return (b, a) if swapped else (a, b)


def _join(a: Tensor, b: Tensor, swapped: bool) -> Tensor:
    return torch.cat((b, a) if swapped else (a, b)).t()


def _shift_and_scale(stays: Tensor, *net: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return shift, scale and log-scale (D / 2, B); of additive couplings there are no scales."""
    h = stays
    for w, b in zip(net[::2], net[1::2], strict=True):
        h = _linear(h if h is stays else h.relu(), w, b)
    h = h.to(stays.dtype)
    if len(h) == len(stays):
        return h, None, None
    shift, raw = h.chunk(2)
    return shift, *tanh_scale(raw)


def _linear(h: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Return w h + b; from a small w a compiler makes a loop faster than a product of matrices."""
    if w.shape[1] == 1:
        return w * h + b
    if len(w) <= 2 and torch.compiler.is_compiling():
        return (w[..., None] * h).sum(1) + b
    return torch.addmm(b, w, h)
