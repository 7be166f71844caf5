"""A hidden layer for each prefix of a sequence, with tied weights; it knows nothing of densities."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gdl.flows.fused import by_hand

__all__ = ["prefix_outputs"]


def prefix_outputs(x: Tensor, weight: Tensor, bias: Tensor, output: Tensor, chunk: int) -> Tensor:
    """Return y_i = V_i sigmoid(c + sum over j < i of x_j W_j), (N, B, P).

    Positions are taken in chunks. Inside a chunk the hidden layer of an example changes only after
    inputs that are not zero, so on a CPU each of its states is computed once and multiplied with the
    V of the whole chunk: a few matrix products in place of N B sigmoids of H units. On other devices
    every position has a state of its own, because to count them would make the host wait.

    Args:
        x: Inputs (N, B).
        weight: W (N, H).
        bias: c (H,).
        output: V (N, P, H).
        chunk: Positions in a chunk.
    """
    if by_hand(x):
        return _Outputs.apply(x, weight, bias, output, chunk)  # pyright: ignore[reportReturnType]
    total, found = bias.expand(x.shape[1], -1), []
    for x_, w, v in zip(*(t.split(chunk) for t in (x, weight, output)), strict=True):
        before = x_.T[:, None] * x.new_ones(len(x_), len(x_)).tril(-1)
        h = (total[:, None] + before @ w).sigmoid()
        found.append(torch.einsum("bth,tph->tbp", h, v))
        total = torch.addmm(total, x_.T, w)
    return torch.cat(found)


class _Outputs(torch.autograd.Function):
    """The same, from the distinct hidden states of each chunk."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, output: Tensor, chunk: int
    ) -> Tensor:
        """See the class."""
        total, out = bias.repeat(x.shape[1], 1), x.new_empty(*x.shape, output.shape[1])
        keep, kept = any(ctx.needs_input_grad), []
        parts = (t.split(chunk) for t in (x, weight, output, out))
        for x_, w, v, y in zip(*parts, strict=True):
            first, image, use = _states(x_)
            before = x_.T[image] * (torch.arange(len(x_)) < first[:, None])
            h = total.index_select(0, image).addmm_(before, w).sigmoid_()
            # (states T, P), of which each position and example has one
            every = (h @ v.flatten(0, 1).T).view(-1, v.shape[1])
            torch.index_select(every, 0, use, out=y.view(-1, v.shape[1]))
            total.addmm_(x_.T, w)
            if keep:
                kept.append((image, use, before, h))
        ctx.save_for_backward(x, weight, output)
        ctx.kept, ctx.chunk = kept, chunk
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor | None, ...]:
        """See the class."""
        x, weight, output = ctx.saved_tensors
        grads = [torch.empty_like(t) for t in (weight, output)]
        g_total = x.new_zeros(x.shape[1], weight.shape[1])
        parts = zip(*(t.split(ctx.chunk) for t in (x, output, gs[0], *grads)), strict=True)
        for x_, v, g, g_w, g_v in reversed(list(parts)):
            image, use, before, h = ctx.kept.pop()
            g_every = x.new_zeros(len(h) * len(x_), v.shape[1])
            g_every[use] = g.flatten(0, 1)
            g_every = g_every.view(len(h), -1)
            torch.mm(g_every.T, h, out=g_v.flatten(0, 1))
            g_h = g_every @ v.flatten(0, 1)
            torch.ops.aten.sigmoid_backward.grad_input(g_h, h, grad_input=g_h)
            torch.mm(x_, g_total, out=g_w).addmm_(before.T, g_h)
            g_total.index_add_(0, image, g_h)
        return None, grads[0], g_total.sum(0), grads[1], None


def _states(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the distinct hidden states of a chunk of inputs x (T, B).

    Returns:
        The first position (M,) and the example (M,) of each state, and T times the state that each
        position and example is in, plus the position (T B,).
    """
    new = torch.ones_like(x, dtype=torch.bool)
    new[1:] = x[:-1] != 0
    rank = new.flatten().cumsum(0).view_as(x) - 1
    first, image = new.nonzero(as_tuple=True)
    state = torch.where(new, rank, 0).cummax(0).values
    return first, image, (state * len(x)).add_(torch.arange(len(x))[:, None]).flatten()
