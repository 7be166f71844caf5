"""Networks of linear layers and ReLU on a CPU, forwards and backwards by hand."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gdl.kernels.products import mm, relu_addmm

__all__ = [
    "Layers",
    "by_hand",
    "hidden_layers",
    "net_backward",
    "networks",
    "threshold_backward",
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


Layers = tuple[Tensor, ...]
"""A network's w_1, b_1, w_2, b_2, ..., with b as a column (N, 1)."""


def networks(stacks: Sequence[Tensor]) -> list[Layers]:
    """Return the K networks in the stacks (K, ...), as views of them."""
    return unstack([s[..., None] if i % 2 else s for i, s in enumerate(stacks)])


def unstack(stacks: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Return, for each k, the k-th element of all stacks."""
    return list(zip(*(s.unbind() for s in stacks), strict=True))


def hidden_layers(x: Tensor, net: Layers, out: Sequence[Tensor]) -> list[Tensor]:
    """Return x (M, B) and the hidden layers (N, B), which are written to `out`."""
    layers = [x]
    for w, b, to in zip(net[:-2:2], net[1:-2:2], out, strict=True):
        layers.append(relu_addmm(b, w, layers[-1], to))
    return layers


def net_backward(
    g: Tensor,
    layers: list[Tensor],
    net: Layers,
    grads: Sequence[Tensor],
    out: Sequence[Tensor],
) -> Tensor:
    """Return the gradient of the first layer's product, given the gradient g of the output.

    The gradients of all weights, and of all biases but the last, are written to `grads`, the
    gradients of the hidden layers to `out`.
    """
    for i in reversed(range(1, len(layers))):
        mm(g, layers[i].t(), out=grads[2 * i])
        g = mm(net[2 * i].t(), g, out=out[i - 1])
        threshold_backward.grad_input(g, layers[i], 0, grad_input=g)
        torch.sum(g, 1, out=grads[2 * i - 1])
    mm(g, layers[0].t(), out=grads[0])
    return g
