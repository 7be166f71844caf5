"""K couplings of vectors as one layer, see `gdl.flows.coupling`."""

import functools
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
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

    Where D is odd, the first half is the larger one. Inside, the second half then has one more
    dimension, which is 0 for ever: no network moves it, so it adds nothing to a log-determinant, and
    the parameters that belong to it stay without effect.

    Args:
        num_dims: D of vectors (B, D), at least 2.
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
        self.num_dims = num_dims
        half = (num_dims + 1) // 2
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
        if self.num_dims % 2 == 0:
            return self._forward(x, tuple(self.stacks))
        z, log_det = self._forward(F.pad(x, (0, 1)), self._odd_stacks())
        return z[:, :-1], log_det

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        if self.num_dims % 2 == 0:
            return self._inverse(z, tuple(self.stacks))
        return self._inverse(F.pad(z, (0, 1)), self._odd_stacks())[:, :-1]

    def __getstate__(self) -> dict[str, object]:
        """Leave out the kept views: a copy has other stacks, and a view alone cannot be copied."""
        return self.__dict__ | {"_views": None}

    def _forward(self, x: Tensor, stacks: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        checkpointed = self.checkpoint_conditioners
        if choose(x, checkpointed=checkpointed) is Form.FUSED:
            return FusedCouplings.apply(x, self._networks(stacks), *stacks)
        return _couple(x, networks(stacks), checkpointed)

    def _inverse(self, z: Tensor, stacks: tuple[Tensor, ...]) -> Tensor:
        if choose(z, inverse=True) is Form.FUSED:
            return invert_couplings(z, self._networks(stacks))
        return _decouple(z, networks(stacks))

    def _odd_stacks(self) -> tuple[Tensor, ...]:
        """Return the stacks, with zeros for what would move the dimension that is not there.

        Every second coupling, from the first on, moves the second half; of its network's shifts, and
        of its scales, the last one belongs to that dimension.
        """
        *others, weight, bias = self.stacks
        half, (depth, out) = (self.num_dims + 1) // 2, bias.shape
        kept = bias.new_ones(depth, out // half, half)
        kept[::2, :, -1] = 0
        kept = kept.flatten(1)
        return (*others, weight * kept[..., None], bias * kept)

    def _networks(self, stacks: tuple[Tensor, ...]) -> list[Layers]:
        """Return the networks as views of the stacks, which are kept: to make them takes time.

        A view shows what is written into its stack. It also keeps the memory, so that no other tensor
        can have the address.
        """
        key = [(s.data_ptr(), s.shape, s.stride(), s.dtype) for s in stacks]
        if self._views is None or self._views[0] != key:
            with torch.no_grad():
                self._views = (key, networks(stacks))
        return self._views[1]

    def plain(self) -> Chain:
        """See `Stacked.plain`: it is a chain of K times `AffineCoupling` or `AdditiveCoupling`."""
        return Chain(self._plain_coupling(k) for k in range(len(self.stacks[0])))

    def _plain_coupling(self, k: int) -> Bijection:
        weights, biases = [w[k] for w in self.stacks[::2]], [b[k] for b in self.stacks[1::2]]
        half, swap = weights[0].shape[1], k % 2 > 0
        coupling = AffineCoupling if len(biases[-1]) > half else AdditiveCoupling
        smaller = self.num_dims // 2  # the size of the second half
        if swap:
            weights[0] = weights[0][:, :smaller]
        else:
            for last in (weights, biases):
                last[-1] = last[-1].unflatten(0, (-1, half))[:, :smaller].flatten(0, 1)
        with torch.device("meta"):
            sizes = [weights[0].shape[1], *map(len, biases)]
            net = VectorConditioner(sizes[0], sizes[-1], sizes[1:-1])
        step = coupling(net, swap)
        state = {}
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            # a ReLU is between one layer and the next
            state[f"net.{2 * i}.weight"], state[f"net.{2 * i}.bias"] = weight, bias
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
