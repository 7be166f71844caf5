"""K couplings of vectors on a CPU as one node of the graph, forwards and backwards by hand.

A coupling is some 30 small operations, which autograd doubles, and on a CPU their overhead costs
more than their arithmetic. Here elementwise work is done in place, and the gradients are written out;
`gdl.flows.stacked.glow_steps_cpu` does the same for images.

A network is a list of layers [w_1, b_1, w_2, b_2, ...], w (N, M) and b (N,), with ReLU in between;
stacks of K networks have shapes (K, N, M) and (K, N). Vectors are the columns of matrices (D, B): the
two halves are then blocks of rows without gaps, and products with small matrices are faster.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gdl.kernels.cpu import Layers, hidden_layers, net_backward, unstack
from gdl.kernels.products import addmm

__all__ = ["FusedCouplings", "invert_couplings"]


def _room(num: int, net: Layers, depth: int = 1) -> list[tuple[Tensor, ...]]:
    """Return memory for the hidden layers (N, num) of `depth` networks like this one.

    It is allocated for all at once, because to allocate it layer by layer costs as much as to fill it.
    """
    return unstack([b.new_empty(depth, len(b), num) for b in net[1:-2:2]])


class FusedCouplings(torch.autograd.Function):
    """K couplings of vectors x (B, D): returns z (B, D) and the log-determinant (B,).

    A coupling replaces the halves (a, b) by ((b + shift) * scale, a), with shift and raw scale from a
    network of a. The scale is `gdl.flows.coupling.tanh_scale` with its bound of 2: with
    s = sigmoid(raw) the log-scale 2 tanh(raw / 2) is 4 s - 2. Couplings are additive where the
    networks have D / 2 outputs.

    `apply(x, nets, *stacks)`: `nets` are the `networks` of the stacks.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, nets: Sequence[Layers], *stacks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See the class."""
        depth, half = len(nets), x.shape[1] // 2
        keep = any(ctx.needs_input_grad)
        rooms = _room(len(x), nets[0], depth if keep else 1)
        # of additive couplings the sigmoids are empty
        outs = x.new_empty(depth, len(nets[0][-1]), len(x))
        sigmoids = outs[:, half:]
        scales, minus_2 = torch.empty_like(sigmoids), x.new_tensor(-2.0)
        views = unstack([outs, outs[:, :half], sigmoids, scales])
        affine = outs.shape[1] > half
        kept = []
        a, b = x.t().contiguous().split(half)
        for k, net in enumerate(nets):
            out, shift, sigmoid, scale = views[k]
            layers = hidden_layers(a, net, rooms[k if keep else 0])
            addmm(net[-1], net[-2], layers[-1], out=out)
            b = b + shift
            if affine:
                b.mul_(torch.add(minus_2, sigmoid.sigmoid_(), alpha=4, out=scale).exp_())
            if keep:
                kept.append(layers)
            a, b = b, a
        log_det = 4 * sigmoids.sum((0, 1)) - 2 * sigmoids[:, :, 0].numel()
        ctx.save_for_backward(a, *stacks)
        ctx.kept, ctx.sigmoids, ctx.scales, ctx.nets = kept, sigmoids, scales, nets
        return torch.cat([b, a] if depth % 2 else [a, b]).t(), log_det

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See the class."""
        moved, *stacks = ctx.saved_tensors
        depth, half = len(stacks[0]), len(moved)
        g_a, g_b = gs[0].t().contiguous().split(half)
        if depth % 2:
            g_a, g_b = g_b, g_a
        grads = [torch.empty_like(t) for t in stacks]
        nets_grads = unstack(grads)
        (hidden,) = _room(moved.shape[1], ctx.nets[0])
        # d log_scale / d raw = 4 s (1 - s)
        slopes = (4 * ctx.sigmoids).mul_(1 - ctx.sigmoids)
        g_outs = moved.new_empty(depth, stacks[-1].shape[1], moved.shape[1])
        views = unstack([g_outs, g_outs[:, :half], g_outs[:, half:], slopes, ctx.scales])
        affine = g_outs.shape[1] > half
        for k in reversed(range(depth)):
            # g_a is of the half that this coupling moved, g_b of the one that stayed
            layers, (g_out, g_shift, g_raw, slope, scale) = ctx.kept[k], views[k]
            if affine:
                torch.addcmul(gs[1], g_a, moved, out=g_raw).mul_(slope)
                g_a = torch.mul(g_a, scale, out=g_shift)
            else:
                g_shift.copy_(g_a)
            g_first = net_backward(g_out, layers, ctx.nets[k], nets_grads[k], hidden)
            if k or ctx.needs_input_grad[0]:
                g_b = addmm(g_b, ctx.nets[k][0].t(), g_first)
            moved = layers[0]
            g_a, g_b = g_b, g_a
        torch.sum(g_outs, 2, out=grads[-1])
        return torch.cat([g_a, g_b]).t(), None, *grads


def invert_couplings(z: Tensor, nets: Sequence[Layers]) -> Tensor:
    """Return x (B, D) that `FusedCouplings` maps to z."""
    half, two = z.shape[1] // 2, z.new_tensor(2.0)
    a, b = z.t().contiguous().split(half)
    if len(nets) % 2:
        a, b = b, a
    (hidden,) = _room(len(z), nets[0])
    out = z.new_empty(len(nets[0][-1]), len(z))
    shift, raw = out[:half], out[half:]
    for net in reversed(nets):
        # a was moved last, given b
        addmm(net[-1], net[-2], hidden_layers(b, net, hidden)[-1], out=out)
        if len(raw):
            a = torch.sub(two, raw.sigmoid_(), alpha=4).exp_().mul_(a)
        a, b = b, a - shift
    return torch.cat([a, b]).t()
