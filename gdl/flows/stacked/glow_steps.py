"""K steps of a Glow as one layer, see `gdl.flows.glow.GlowStep`."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gdl.flows.base import Chain, DataInitialized
from gdl.flows.coupling import clipped, move, move_back
from gdl.flows.linear import mix_channels
from gdl.flows.stacked.forms import Form, choose
from gdl.flows.stacked.glow_plain import plain_step
from gdl.flows.stacked.glow_steps_cpu import FusedSteps, as_convolutions, invert
from gdl.flows.stacked.glow_steps_gpu import CompiledSteps
from gdl.flows.stacked.glow_weights import GlowWeights, ShiftAndScale, conv1x1, conv3x3
from gdl.flows.stacked.plain import Stacked
from gdl.flows.stacked.reversible import ReversibleSteps
from gdl.flows.stacked.rotations import inverse_matrices, matrices, random_rotations
from gdl.kernels.recompute import recomputed

__all__ = ["GlowSteps"]


class Maps(NamedTuple):
    """K steps with norms and gains folded in: y = weight x + bias, then a coupling with the network."""

    weight: Tensor
    """W diag(s), (K, C, C)."""
    bias: Tensor
    """W diag(s) b, (K, C)."""
    log_det: Tensor
    """The log-determinant of all linear maps together, per pixel."""
    net: GlowWeights


class Inverse(NamedTuple):
    """The inverses of K steps: the coupling undone, then x = weight y + bias."""

    weight: Tensor
    """diag(1 / s) W^-1, (K, C, C)."""
    bias: Tensor
    """-b, (K, C)."""
    net: GlowWeights
    convolutions: list[tuple[Tensor, ...]]
    """The networks once more, as `glow_steps_cpu.as_convolutions` returns them; on a CPU only."""


class GlowSteps(Stacked, DataInitialized):
    """K times `GlowStep`: ActNorm, 1x1 convolution, coupling of the halves.

    It is the same map as `Chain(GlowStep(num_channels, width) for _ in range(depth))`, faster: all K
    steps' parameters of a kind are one tensor, so that matrices, gains and the optimizer's update
    take a few operations for all, and ActNorm and 1x1 convolution are one linear map
    W diag(s) (x + b). `gdl.flows.stacked.forms.choose` says which implementation runs.

    An ActNorm inside a network is here a gain exp(3 g) and a bias behind it, as in Glow's code.

    Args:
        num_channels: C of images (B, C, H, W), even.
        depth: K.
        width: Hidden channels of the networks.
        affine: Affine couplings, else additive ones.
        net_norm: ActNorm inside the networks; its log-scales learn three times as fast too.
        checkpoint_conditioners: Recompute the networks' activations on the way back.
        reversible: Recompute all activations on the way back; see `ReversibleSteps`.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(
        self,
        num_channels: int,
        depth: int,
        width: int,
        affine: bool = True,
        net_norm: bool = True,
        checkpoint_conditioners: bool = False,
        reversible: bool = False,
    ) -> None:
        super().__init__()
        c, n, out = num_channels // 2, width, num_channels if affine else num_channels // 2
        self.num_channels, self.depth = num_channels, depth
        self.checkpoint_conditioners, self.reversible = checkpoint_conditioners, reversible
        self.network = ShiftAndScale()
        self.norm_bias = nn.Parameter(torch.zeros(depth, num_channels))
        self.norm_log_scale = nn.Parameter(torch.zeros(depth, num_channels))
        packed, permutation, sign = random_rotations(depth, num_channels)
        self.packed = nn.Parameter(packed)
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", sign)
        self.w1 = nn.Parameter(0.05 * torch.randn(depth, n, 9 * c))
        self.b1 = nn.Parameter(torch.zeros(depth, n))
        self.w2 = nn.Parameter(0.05 * torch.randn(depth, n, n))
        self.b2 = nn.Parameter(torch.zeros(depth, n))
        self.w3 = nn.Parameter(torch.zeros(depth, 9 * out, n))
        self.b3 = nn.Parameter(torch.zeros(depth, out))
        self.log_gain1, self.log_gain2 = (
            nn.Parameter(torch.zeros(depth, n)) if net_norm else None for _ in range(2)
        )
        self.log_gain3 = nn.Parameter(torch.zeros(depth, out))
        self._kept: tuple[list[Tensor], Inverse] | None = None
        self._compiled: CompiledSteps | None = None

    def set_from(self, h: Tensor) -> None:
        """Give each ActNorm, one after the other, mean 0 and standard deviation 1."""
        for k in range(self.depth):
            mean, log_std = self.moments(h)
            self.norm_bias[k], self.norm_log_scale[k] = -mean, -log_std
            maps = self._maps()
            a = mix_channels(h, maps.weight[k], maps.bias[k]).chunk(2, 1)[0]
            if self.log_gain1 is not None and self.log_gain2 is not None:
                a = conv3x3(clipped(a), maps.net.w1[k])
                a = self._set_norm(a, self.log_gain1[k], self.b1[k])
                self._set_norm(conv1x1(a, maps.net.w2[k]), self.log_gain2[k], self.b2[k])
            maps = self._maps()
            h, _ = self._step(h, maps.weight[k], maps.bias[k], *(w[k] for w in maps.net))

    def _set_norm(self, a: Tensor, log_gain: Tensor, bias: Tensor) -> Tensor:
        """Set one ActNorm inside a network; return what the next layer sees."""
        mean, log_std = self.moments(a)
        log_gain.copy_(-log_std / 3)
        bias.copy_(-mean * (-log_std).exp())
        scale, shift = ((-log_std).exp().view(-1, 1, 1), bias.view(-1, 1, 1))
        return (a * scale + shift).relu()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        self._see(x)
        maps = self._maps()
        constant = maps.log_det * x[0, 0].numel()
        form = choose(
            x,
            checkpointed=self.checkpoint_conditioners,
            reversible=self.reversible,
            compiled=self._compiled is not None,
        )
        if form is Form.FUSED:
            z, log_det = FusedSteps.apply(x, maps.weight, maps.bias, *maps.net)
            return z, log_det + constant
        x = x.contiguous(memory_format=torch.channels_last)
        stacks = (maps.weight, maps.bias, *maps.net)
        if form is Form.REVERSIBLE:
            z, log_det = ReversibleSteps.apply(self._steps, self._shift_and_scale, x, *stacks)
        elif form is Form.COMPILED and self._compiled is not None:
            z, log_det = self._compiled(self._steps, x, *stacks)
        else:
            z, log_det = self._steps(x, *stacks)
        return z, log_det + constant

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        self._see()
        weight, bias, net, convolutions = self._inverse_maps()
        checkpointed, reversible = self.checkpoint_conditioners, self.reversible
        form = choose(z, inverse=True, checkpointed=checkpointed, reversible=reversible)
        if form is Form.FUSED:
            return invert(z, weight, bias, net, convolutions)
        z = z.contiguous(memory_format=torch.channels_last)
        for k in reversed(range(self.depth)):
            stays, moved = z.chunk(2, 1)
            shift, scale, _ = self._shift_and_scale(stays, *(w[k] for w in net))
            z = mix_channels(
                torch.cat([stays, move_back(moved, shift, scale)], 1), weight[k], bias[k]
            )
        return z

    def plain(self) -> Chain:
        """See `Stacked.plain`: it is a chain of K times `GlowStep`."""
        stacks = dict(self.named_parameters()) | dict(self.named_buffers())
        return Chain(plain_step(stacks, k) for k in range(self.depth))

    def compile_networks(self) -> None:
        """Compile the steps in training, see `CompiledSteps`; the networks, if they are recomputed."""
        if self.checkpoint_conditioners or self.reversible:
            self.network.compile()
        else:
            self._compiled = CompiledSteps()

    def train(self, mode: bool = True) -> "GlowSteps":
        """Switch the mode, and forget the matrices that were kept."""
        self._kept = None
        return super().train(mode)

    def _maps(self) -> Maps:
        weight = matrices(self.packed, self.permutation, self.sign)
        log_det = self.norm_log_scale.sum() + self.packed.diagonal(dim1=1, dim2=2).sum()
        with torch.autocast(weight.device.type, enabled=False):
            weight = weight * self.norm_log_scale.exp()[:, None]
            bias = (weight @ self.norm_bias[..., None]).squeeze(-1)
        return Maps(weight, bias, log_det, self._net())

    def _net(self) -> GlowWeights:
        """Return the networks' weights with their gains."""
        w1, w2 = self.w1, self.w2
        if self.log_gain1 is not None and self.log_gain2 is not None:
            w1 = w1 * (3 * self.log_gain1).exp()[..., None]
            w2 = w2 * (3 * self.log_gain2).exp()[..., None]
        gain = (3 * self.log_gain3).exp()
        w3 = (self.w3.unflatten(1, (9, -1)) * gain[:, None, :, None]).flatten(1, 2)
        return GlowWeights(w1, self.b1, w2, self.b2, w3, self.b3 * gain)

    def _inverse_maps(self) -> Inverse:
        """Return the inverse maps of all K steps.

        In eval mode without gradients they are kept for the next samples, until a parameter changes:
        to draw one sample costs less than to compute them. They are kept with a copy of what they were
        computed from. Addresses and version numbers would not do: a write through `.data`, as of
        weight averaging, changes neither.
        """
        if torch.is_grad_enabled() or self.training:
            return self._invert_maps()
        if torch.compiler.is_exporting() and self._kept is not None:
            return self._kept[1]  # a graph for other programs holds the matrices themselves
        sources = [*self.parameters(), *self.buffers()]
        if self._kept is None or not all(map(_same, sources, self._kept[0])):
            self._kept = ([s.detach().clone() for s in sources], self._invert_maps())
        return self._kept[1]

    def _invert_maps(self) -> Inverse:
        inverse = inverse_matrices(self.packed, self.permutation, self.sign)
        weight = (-self.norm_log_scale.double()).exp()[..., None] * inverse
        weight, net = weight.to(self.packed.dtype), self._net()
        convolutions = as_convolutions(net) if weight.device.type == "cpu" else []
        return Inverse(weight, -self.norm_bias, net, convolutions)

    def _steps(self, x: Tensor, *stacks: Tensor) -> tuple[Tensor, Tensor]:
        """Return all steps of x and the sum of the log-determinants of their couplings."""
        log_dets = []
        for step in zip(*(t.unbind() for t in stacks), strict=True):
            x, log_det = self._step(x, *step)
            log_dets.append(log_det)
        return x, torch.stack(log_dets).sum(0)

    def _step(
        self, x: Tensor, weight: Tensor, bias: Tensor, *net: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return one step of x and the log-determinant of its coupling."""
        stays, moved = mix_channels(x, weight, bias).chunk(2, 1)
        shift, scale, log_scale = self._shift_and_scale(stays, *net)
        return torch.cat([stays, move(moved, shift, scale)], 1), log_scale.flatten(1).sum(1)

    def _shift_and_scale(
        self, stays: Tensor, *net: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        if self.checkpoint_conditioners:
            return recomputed(self.network, stays, *net)
        return self.network(stays, *net)


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
