"""Backpropagation through Glow's steps that keeps no activations, because it can invert them.

Gomez et al., 2017, "The reversible residual network: backpropagation without storing activations",
arXiv 1707.04585: a step's input follows from its output, so the memory does not grow with the number
of steps.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from gdl.flows.coupling import move, move_back
from gdl.flows.linear import mix_channels

__all__ = ["ReversibleSteps"]

RunSteps = Callable[..., tuple[Tensor, Tensor]]
"""(x, *stacks) -> z and the log-determinant of the couplings."""

Network = Callable[..., tuple[Tensor, Tensor | None, Tensor]]
"""(stays, *weights) -> shift, scale (None: additive), log-scale."""


class ReversibleSteps(Function):
    """K times y = W x + b per pixel, then (stays, moved) -> (stays, (moved + shift) scale).

    Only the last output is kept for the backward pass, which inverts the steps one by one. It runs each
    network once, for the inverse and the gradient together, so the price is one more forward pass.
    In float32 the recomputed inputs drift from the true ones by rounding errors, about 1e-5 over 32
    steps; with networks in bfloat16 by as much as the inverse does.

    `apply(steps, network, x (B, C, H, W), W (K, C, C), b (K, C), *weights (K, ...))` returns z
    (B, C, H, W) and the couplings' log-determinant (B,), as `steps` computes them.
    """

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, steps: RunSteps, network: Network, x: Tensor, *stacked: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.network, device = network, x.device.type
        ctx.autocast = (
            device,
            torch.get_autocast_dtype(device),
            torch.is_autocast_enabled(device),
        )
        z, log_det = steps(x, *stacked)
        ctx.save_for_backward(z, *stacked)
        return z, log_det

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_z: Tensor, grad_log_det: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]  # noqa: D102
        z, *stacked = ctx.saved_tensors
        # inv_ex does not wait for a GPU to say whether it worked
        inverse = torch.linalg.inv_ex(stacked[0].double())[0].to(z.dtype)
        grads: list[list[Tensor]] = []
        device, dtype, enabled = ctx.autocast
        with torch.autocast(device, dtype, enabled):
            for k in reversed(range(len(inverse))):
                weight, bias, *net = (t[k].detach().requires_grad_() for t in stacked)
                y, grad_y, grad_net = _undo_coupling(ctx.network, z, net, grad_z, grad_log_det)
                z = mix_channels(y - bias.detach().view(-1, 1, 1), inverse[k]).requires_grad_()
                with torch.enable_grad():
                    y = mix_channels(z, weight, bias)
                grad_z, *grad_linear = torch.autograd.grad(y, (z, weight, bias), grad_y)
                z = z.detach()
                grads.append([*grad_linear, *grad_net])
        return None, None, grad_z, *(torch.stack(g[::-1]) for g in zip(*grads, strict=True))


def _undo_coupling(
    network: Network, z: Tensor, net: list[Tensor], grad_z: Tensor, grad_log_det: Tensor
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return a coupling's input y (B, C, H, W), its gradient, and the gradients of the network."""
    stays, moved = (h.detach().requires_grad_() for h in z.chunk(2, 1))
    grad_stays, grad_moved = grad_z.chunk(2, 1)
    with torch.enable_grad():
        shift, scale, log_scale = network(stays, *net)
        before = move_back(moved, shift, scale).detach().requires_grad_()
        outputs = [move(before, shift, scale), log_scale.flatten(1).sum(1)]
    inputs, seeds = [before, stays, *net], [grad_moved, grad_log_det]
    if scale is None:  # a volume-preserving coupling: its log-determinant is a constant
        outputs, seeds = outputs[:1], seeds[:1]
    through_moved, through_net, *grad_net = torch.autograd.grad(outputs, inputs, seeds)
    y = torch.cat([stays.detach(), before.detach()], 1)
    return y, torch.cat([grad_stays + through_net, through_moved], 1), list(grad_net)
