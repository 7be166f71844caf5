"""Outputs of a hidden layer for each prefix of a sequence, forwards and backwards by hand."""

from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["States", "TiedOutputs", "distinct_states"]


class TiedOutputs(torch.autograd.Function):
    """y_i = V_i sigmoid(c + sum over j < i of x_j W_j), from the distinct hidden states of each chunk.

    `apply(x (N, B), W (N, H), c (H,) or (B, H), V (N, P, H), positions in a chunk)` gives y (N, B, P).
    Inside a chunk an example's hidden state changes only after inputs that are not zero.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, output: Tensor, chunk: int
    ) -> Tensor:
        """See the class."""
        total = bias.repeat(x.shape[1], 1) if bias.dim() == 1 else bias.clone()
        states = distinct_states(x, chunk)
        num_params = output.shape[1]
        # for each state the outputs at all positions of its chunk; a position and example uses one
        every = x.new_empty(len(states.example), chunk * num_params)
        kept = []
        for k, (x_, w, v) in enumerate(
            zip(*(t.split(chunk) for t in (x, weight, output)), strict=True)
        ):
            rows, v = states.rows[k], v.flatten(0, 1)
            h = total.index_select(0, states.example[rows])
            h.addmm_(states.before[rows, : len(x_)], w).sigmoid_()
            torch.mm(h, v.T, out=every[rows, : len(v)])
            total.addmm_(x_.T, w)
            if any(ctx.needs_input_grad):
                kept.append(h)
        ctx.save_for_backward(x, weight, output)
        ctx.kept, ctx.states, ctx.chunk, ctx.shared = kept, states, chunk, bias.dim() == 1
        out = every.view(-1, num_params).index_select(0, states.used)
        return out.view(*x.shape, num_params)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See the class."""
        (x, weight, output), states = ctx.saved_tensors, ctx.states
        num_params = output.shape[1]
        every = x.new_zeros(len(states.example) * ctx.chunk, num_params)
        every[states.used] = gs[0].reshape(-1, num_params)
        every = every.view(len(states.example), -1)
        grads = [torch.empty_like(t) for t in (weight, output)]
        g_total = x.new_zeros(x.shape[1], weight.shape[1])
        parts = zip(*(t.split(ctx.chunk) for t in (x, output, *grads)), strict=True)
        for k, (x_, v, g_w, g_v) in reversed(list(enumerate(parts))):
            rows, v, h = states.rows[k], v.flatten(0, 1), ctx.kept[k]
            g = every[rows, : len(v)]
            torch.mm(g.T, h, out=g_v.flatten(0, 1))
            g_h = g @ v
            torch.ops.aten.sigmoid_backward.grad_input(g_h, h, grad_input=g_h)
            torch.mm(x_, g_total, out=g_w).addmm_(states.before[rows, : len(x_)].T, g_h)
            g_total.index_add_(0, states.example[rows], g_h)
        return None, grads[0], g_total.sum(0) if ctx.shared else g_total, grads[1], None


class States(NamedTuple):
    """The M distinct hidden states of the chunks of inputs (N, B), ordered by position.

    Args:
        rows: Which states each chunk has.
        example: The example (M,) of each.
        before: What comes before it in its chunk of T inputs (M, T), and zeros.
        used: T times the state in which each position and example is, plus the position's place in
            its chunk, (N B,).
    """

    rows: list[slice]
    example: Tensor
    before: Tensor
    used: Tensor


def distinct_states(x: Tensor, chunk: int) -> States:
    """Return the distinct hidden states of inputs x (N, B), in chunks of `chunk` positions."""
    n, examples = x.shape
    new = torch.ones_like(x, dtype=torch.bool)
    new[1:] = x[:-1] != 0
    new[::chunk] = True
    rank = new.flatten().cumsum(0).view_as(x) - 1
    position, example = new.nonzero(as_tuple=True)
    starts = [*rank[::chunk, 0].tolist(), len(position)]
    state = torch.where(new, rank, 0).cummax(0).values
    place = torch.arange(n)[:, None] % chunk
    whole = F.pad(x, (0, 0, 0, -n % chunk)).unflatten(0, (-1, chunk)).transpose(1, 2)
    before = whole.flatten(0, 1).index_select(0, position // chunk * examples + example)
    before *= x.new_ones(chunk, chunk).tril(-1).index_select(0, position % chunk)
    rows = [slice(a, b) for a, b in pairwise(starts)]
    return States(rows, example, before, (state * chunk + place).flatten())
