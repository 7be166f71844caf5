"""Coupling layers on a CPU, forwards and backwards by hand: those of vectors.

A coupling is some 30 small operations, which autograd doubles, and on a CPU their overhead costs
more than their arithmetic. Here K couplings are one node of the graph, elementwise work is done in
place, and the gradients are written out; `gdl.flows.fused_steps` does the same for images.

The networks are lists of layers [w_1, b_1, w_2, b_2, ...], w (N, M) and b (N,), with ReLU in
between; K networks of one kind have K in front. `gdl.flows.vectors` and `gdl.flows.steps` hold the
parameters and the same layers in plain operations; the tests hold one against the other.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = [
    "FusedCouplings",
    "by_hand",
    "hidden_layers",
    "invert_couplings",
    "net_backward",
    "unstack",
]

threshold_backward = torch.ops.aten.threshold_backward


def by_hand(x: Tensor) -> bool:
    """Return whether these functions apply: x is on the CPU, in full precision, not in a compiler."""
    return (
        x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def unstack(stacks: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Return the K networks of which the stacks consist."""
    return list(zip(*(s.unbind() for s in stacks), strict=True))


def hidden_layers(x: Tensor, net: Sequence[Tensor]) -> list[Tensor]:
    """Return x and the hidden layers."""
    layers = [x]
    for w, b in zip(net[:-2:2], net[1:-2:2], strict=True):
        layers.append(torch.addmm(b, layers[-1], w.t()).relu_())
    return layers


def net_backward(
    g: Tensor, layers: list[Tensor], net: Sequence[Tensor], grads: Sequence[Tensor]
) -> Tensor:
    """Write all gradients but that of the last bias; return that of the first layer's output."""
    for i in reversed(range(1, len(layers))):
        torch.mm(g.t(), layers[i], out=grads[2 * i])
        g = threshold_backward(g @ net[2 * i], layers[i], 0)
        torch.sum(g, 0, out=grads[2 * i - 1])
    torch.mm(g.t(), layers[0], out=grads[0])
    return g


class FusedCouplings(torch.autograd.Function):
    """z, log_det of vectors x (B, D): the halves a, b become b' = (b + shift) scale and a, in turn.

    Shift and scale are functions of a; scale is 1 where the networks have as many outputs as b, else
    see `gdl.flows.coupling.tanh_scale`, whose bound is 2.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *stacks: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        nets = unstack(stacks)
        a, b = (half.contiguous() for half in x.chunk(2, 1))
        half = a.shape[1]
        affine = stacks[-1].shape[1] == 2 * half
        log_scales = x.new_empty(len(nets), len(x), half) if affine else None
        keep = any(ctx.needs_input_grad)
        kept = []
        for k, net in enumerate(nets):
            layers = hidden_layers(a, net)
            out = torch.addmm(net[-1], layers[-1], net[-2].t())
            b = b + out[:, :half]
            if log_scales is not None:
                log_scales[k] = out[:, half:].mul_(0.5).tanh_().mul_(2)
                b.mul_(log_scales[k].exp())
            if keep:
                kept.append(layers)
            a, b = b, a
        log_det = x.new_zeros(len(x)) if log_scales is None else log_scales.sum((0, 2))
        ctx.save_for_backward(a, *stacks)
        ctx.kept, ctx.log_scales = kept, log_scales
        return torch.cat([b, a] if len(nets) % 2 else [a, b], 1), log_det

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor | None, ...]:
        """See the class."""
        moved, *stacks = ctx.saved_tensors
        g_log_det, half = gs[1][:, None], moved.shape[1]
        g_a, g_b = (part.contiguous() for part in gs[0].chunk(2, 1))
        if len(stacks[0]) % 2:
            g_a, g_b = g_b, g_a
        grads = [torch.empty_like(t) for t in stacks]
        for k in reversed(range(len(stacks[0]))):
            # g_a is of the half that this coupling moved, g_b of the one that stayed
            layers, net, net_grads = ctx.kept[k], [s[k] for s in stacks], [s[k] for s in grads]
            g_out = g_a
            if ctx.log_scales is not None:
                log_scale = ctx.log_scales[k]
                g_out = g_a.new_empty(len(g_a), 2 * half)
                g_before = torch.mul(g_a, log_scale.exp(), out=g_out[:, :half])
                # d log_scale / d raw = 1 - (log_scale / 2)^2
                slope = torch.addcmul(g_a.new_ones(()), log_scale, log_scale, value=-0.25)
                torch.mul(torch.addcmul(g_log_det, g_a, moved), slope, out=g_out[:, half:])
                g_a = g_before
            torch.sum(g_out, 0, out=net_grads[-1])
            g_first = net_backward(g_out, layers, net, net_grads)
            if k or ctx.needs_input_grad[0]:
                g_b = torch.addmm(g_b, g_first, net[0])
            moved = layers[0]
            g_a, g_b = g_b, g_a
        return torch.cat([g_a, g_b], 1), *grads


def invert_couplings(z: Tensor, stacks: Sequence[Tensor]) -> Tensor:
    """Return x (B, D) that `FusedCouplings` maps to z."""
    nets = unstack(stacks)
    a, b = (half.contiguous() for half in z.chunk(2, 1))
    half = a.shape[1]
    if len(nets) % 2:
        a, b = b, a
    for net in reversed(nets):
        # a was moved last, given b
        layers = hidden_layers(b, net)
        out = torch.addmm(net[-1], layers[-1], net[-2].t())
        if out.shape[1] > half:
            a = out[:, half:].mul_(0.5).tanh_().mul_(-2).exp_().mul_(a)
        a, b = b, a - out[:, :half]
    return torch.cat([a, b], 1)
