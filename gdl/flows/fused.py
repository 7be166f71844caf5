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
    "room",
    "transposed",
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


def transposed(stacks: Sequence[Tensor]) -> list[Tensor]:
    """Return the stacks with w as (M, N), so that a layer is x w + b."""
    return [s if i % 2 else s.mT for i, s in enumerate(stacks)]


def room(rows: int, stacks: Sequence[Tensor], depth: int = 1) -> list[tuple[Tensor, ...]]:
    """Return memory for the hidden layers (rows, N) of `depth` networks.

    To allocate it for one layer after the other costs as much as to fill it.
    """
    return unstack([b.new_empty(depth, rows, b.shape[1]) for b in stacks[1:-2:2]])


def hidden_layers(x: Tensor, net: Sequence[Tensor], out: Sequence[Tensor]) -> list[Tensor]:
    """Return x and the hidden layers, which are written to `out`, of a `transposed` network."""
    layers = [x]
    for w, b, to in zip(net[:-2:2], net[1:-2:2], out, strict=True):
        layers.append(torch.addmm(b, layers[-1], w, out=to).relu_())
    return layers


def net_backward(
    g: Tensor,
    layers: list[Tensor],
    net: Sequence[Tensor],
    grads: Sequence[Tensor],
    out: Sequence[Tensor],
) -> Tensor:
    """Write all gradients but that of the last bias; return that of the first layer's output.

    The gradients of the hidden layers are written to `out`.
    """
    for i in reversed(range(1, len(layers))):
        torch.mm(g.t(), layers[i], out=grads[2 * i])
        g = torch.mm(g, net[2 * i], out=out[i - 1])
        threshold_backward.grad_input(g, layers[i], 0, grad_input=g)
        torch.sum(g, 0, out=grads[2 * i - 1])
    torch.mm(g.t(), layers[0], out=grads[0])
    return g


class FusedCouplings(torch.autograd.Function):
    """z, log_det of vectors x (B, D): the halves a, b become b' = (b + shift) scale and a, in turn.

    Shift and scale are functions of a; scale is 1 where the networks have as many outputs as b, else
    see `gdl.flows.coupling.tanh_scale`, whose bound is 2: with s = sigmoid(raw) its log-scale
    2 tanh(raw / 2) is 4 s - 2.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *stacks: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        depth, half = len(stacks[0]), x.shape[1] // 2
        keep = any(ctx.needs_input_grad)
        rooms = room(len(x), stacks, depth if keep else 1)
        # of additive couplings the sigmoids are empty
        outs = x.new_empty(depth, len(x), stacks[-1].shape[1])
        sigmoids = outs[..., half:]
        scales, minus_2 = torch.empty_like(sigmoids), x.new_tensor(-2.0)
        views = unstack([outs, outs[..., :half], sigmoids, scales])
        kept = []
        a, b = (part.contiguous() for part in x.chunk(2, 1))
        for k, net in enumerate(unstack(transposed(stacks))):
            out, shift, sigmoid, scale = views[k]
            layers = hidden_layers(a, net, rooms[k if keep else 0])
            torch.addmm(net[-1], layers[-1], net[-2], out=out)
            b = b + shift
            if out.shape[1] > half:
                b.mul_(torch.add(minus_2, sigmoid.sigmoid_(), alpha=4, out=scale).exp_())
            if keep:
                kept.append(layers)
            a, b = b, a
        log_det = 4 * sigmoids.sum((0, 2)) - 2 * sigmoids[:, 0].numel()
        ctx.save_for_backward(a, *stacks)
        ctx.kept, ctx.sigmoids, ctx.scales = kept, sigmoids, scales
        return torch.cat([b, a] if depth % 2 else [a, b], 1), log_det

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor | None, ...]:
        """See the class."""
        moved, *stacks = ctx.saved_tensors
        depth, half = len(stacks[0]), moved.shape[1]
        g_log_det = gs[1][:, None]
        g_a, g_b = (part.contiguous() for part in gs[0].chunk(2, 1))
        if depth % 2:
            g_a, g_b = g_b, g_a
        grads = [torch.empty_like(t) for t in stacks]
        nets, nets_grads = unstack(stacks), unstack(grads)
        (hidden,) = room(len(moved), stacks)
        affine = stacks[-1].shape[1] > half
        # d log_scale / d raw = 4 s (1 - s)
        slopes = (4 * ctx.sigmoids).mul_(1 - ctx.sigmoids).unbind()
        scales = ctx.scales.unbind()
        for k in reversed(range(depth)):
            # g_a is of the half that this coupling moved, g_b of the one that stayed
            layers, g_out = ctx.kept[k], g_a
            if affine:
                g_raw = torch.addcmul(g_log_det, g_a, moved).mul_(slopes[k])
                g_a = g_a * scales[k]
                g_out = torch.cat([g_a, g_raw], 1)
            torch.sum(g_out, 0, out=nets_grads[k][-1])
            g_first = net_backward(g_out, layers, nets[k], nets_grads[k], hidden)
            if k or ctx.needs_input_grad[0]:
                g_b = torch.addmm(g_b, g_first, nets[k][0])
            moved = layers[0]
            g_a, g_b = g_b, g_a
        return torch.cat([g_a, g_b], 1), *grads


def invert_couplings(z: Tensor, stacks: Sequence[Tensor]) -> Tensor:
    """Return x (B, D) that `FusedCouplings` maps to z."""
    a, b = (part.contiguous() for part in z.chunk(2, 1))
    half, two = a.shape[1], z.new_tensor(2.0)
    if len(stacks[0]) % 2:
        a, b = b, a
    (hidden,) = room(len(z), stacks)
    for net in reversed(unstack(transposed(stacks))):
        # a was moved last, given b
        layers = hidden_layers(b, net, hidden)
        out = torch.addmm(net[-1], layers[-1], net[-2])
        if out.shape[1] > half:
            a = torch.sub(two, out[:, half:].sigmoid_(), alpha=4).exp_().mul_(a)
        a, b = b, a - out[:, :half]
    return torch.cat([a, b], 1)
