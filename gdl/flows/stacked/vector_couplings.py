"""K couplings of vectors as one layer, see `gdl.flows.coupling`."""

import functools
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from gdl.flows.base import Bijection, Chain
from gdl.flows.coupling import AdditiveCoupling, AffineCoupling, move, move_back, tanh_scale
from gdl.flows.stacked.forms import Form, choose
from gdl.flows.stacked.plain import Stacked, lend
from gdl.flows.stacked.vector_couplings_cpu import FusedCouplings, invert_couplings
from gdl.kernels.cpu import Layers, networks
from gdl.kernels.products import LARGE
from gdl.kernels.recompute import recomputed
from gdl.nn.coupling_networks import VectorConditioner

__all__ = ["VectorCouplings"]


class VectorCouplings(Stacked):
    """K times `AffineCoupling` or `AdditiveCoupling`; the half that stays alternates.

    The networks are perceptrons with ReLU, see `VectorConditioner`; their parameters of a kind are
    one tensor for all K. `gdl.flows.stacked.forms.choose` says which implementation runs.

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

        self._views: tuple[object, list[Layers]] | None = None

    @property
    def compiles_as_a_whole(self) -> bool:
        """Small networks cost more to call than to compute, so compiling pays for the flow as a whole.

        The products of large ones are faster on a CPU without a compiler, see `gdl.kernels.products`.
        """
        return (
            self.stacks[0].device.type != "cpu" or max(s[0].numel() for s in self.stacks) < LARGE
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        checkpointed = self.checkpoint_conditioners
        if choose(x, checkpointed=checkpointed) is Form.FUSED:
            return FusedCouplings.apply(x, self._networks(), *self.stacks)
        return _couple(x, networks(tuple(self.stacks)), checkpointed)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        if choose(z, inverse=True) is Form.FUSED:
            return invert_couplings(z, self._networks())
        return _decouple(z, networks(tuple(self.stacks)))

    def __getstate__(self) -> dict[str, object]:
        """Leave out the kept views: a copy has other stacks, and a view alone cannot be copied."""
        return self.__dict__ | {"_views": None}

    def _networks(self) -> list[Layers]:
        """Return the networks as views of the stacks, which are kept: to make them takes time.

        A view shows what is written into its stack. It also keeps the memory, so that no other tensor
        can have the address.
        """
        key = [(s.data_ptr(), s.shape, s.stride(), s.dtype) for s in self.stacks]
        if self._views is None or self._views[0] != key:
            with torch.no_grad():
                self._views = (key, networks(tuple(self.stacks)))
        return self._views[1]

    def plain(self) -> Chain:
        """See `Stacked.plain`: it is a chain of K times `AffineCoupling` or `AdditiveCoupling`."""
        return Chain(self._plain_coupling(k) for k in range(len(self.stacks[0])))

    def _plain_coupling(self, k: int) -> Bijection:
        weights, biases = list(self.stacks[::2]), list(self.stacks[1::2])
        half, (*hidden, out) = weights[0].shape[2], [b.shape[1] for b in biases]
        with torch.device("meta"):
            net = VectorConditioner(half, out, hidden)
        coupling = AffineCoupling if out > half else AdditiveCoupling
        step = coupling(net, swap=k % 2 > 0)
        state = {}
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            # a ReLU is between one layer and the next
            state[f"net.{2 * i}.weight"], state[f"net.{2 * i}.bias"] = weight[k], bias[k]
        lend(step, state)
        return step


def _couple(x: Tensor, nets: Sequence[Layers], recompute: bool) -> tuple[Tensor, Tensor]:
    """Return z (B, D) and the log-determinant (B,)."""
    stays, moves = x.t().chunk(2)
    log_det = x.new_zeros(len(x))
    run = functools.partial(recomputed, _shift_and_scale) if recompute else _shift_and_scale
    for net in nets:
        shift, scale, log_scale = run(stays, *net)
        if log_scale is not None:
            log_det = log_det + log_scale.sum(0)
        stays, moves = move(moves, shift, scale), stays
    return torch.cat((moves, stays) if len(nets) % 2 else (stays, moves)).t(), log_det


def _decouple(z: Tensor, nets: Sequence[Layers]) -> Tensor:
    """Return x (B, D) that `_couple` maps to z."""
    first, second = z.t().chunk(2)
    moved, stays = (second, first) if len(nets) % 2 else (first, second)
    for net in reversed(nets):
        shift, scale, _ = _shift_and_scale(stays, *net)
        moved, stays = stays, move_back(moved, shift, scale)
    return torch.cat((moved, stays)).t()


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
