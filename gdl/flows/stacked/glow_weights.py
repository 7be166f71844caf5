"""The weights of the networks in K steps of a Glow, and the network as a function of them."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.flows.coupling import clipped, sigmoid_scale

__all__ = ["GlowWeights", "ShiftAndScale", "conv1x1", "conv3x3"]


class GlowWeights(NamedTuple):
    """Weights and biases of K networks, norms and gains folded in, laid out as for `FusedSteps`."""

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor
    w3: Tensor
    b3: Tensor


class ShiftAndScale(nn.Module):
    """`GlowConditioner` and `sigmoid_scale`, with weights as inputs: compiled once for all K steps."""

    def forward(self, stays: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return shift, scale (None: additive) and log-scale (B, C, H, W), given `GlowWeights`."""
        net = GlowWeights(*weights)
        h = conv3x3(clipped(stays), net.w1, net.b1).relu_()
        h = conv1x1(h, net.w2, net.b2).relu_()
        last = net.w3.unflatten(0, (3, 3, -1)).flip(0, 1).permute(2, 3, 0, 1)
        out = F.conv2d(h, last.contiguous(), net.b3, padding=1).to(stays.dtype)
        if out.shape[1] == stays.shape[1]:
            return out, None, torch.zeros_like(out[:, :0])
        shift, raw = out.chunk(2, 1)
        return shift, *sigmoid_scale(raw)


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the convolution of x (B, C, H, W) with weight (N, 9 C), channels last within."""
    kernel = weight.unflatten(1, (3, 3, -1)).permute(0, 3, 1, 2)
    return F.conv2d(x, kernel, bias, padding=1)


def conv1x1(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the convolution of x (B, C, H, W) with weight (N, C)."""
    return F.conv2d(x, weight[:, :, None, None], bias)
