"""K steps of a Glow on a CPU as one node of the graph, forwards and backwards by hand.

`gdl.flows.stacked.vector_couplings_cpu` says why.

Images are matrices (pixels, channels); 3x3 convolutions are matrix products with windows gathered
before or scattered after.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from gdl.flows.coupling import LOWEST, WIDEST, clipped
from gdl.kernels.cpu import Layers, hidden_layers, net_backward, networks, unstack
from gdl.kernels.products import addmm, mm

__all__ = ["FusedSteps", "as_convolutions", "frame", "invert", "scatter", "windows"]

SMALL = 64
"""Pixels of small images, of which windows cost more than products: convolutions are faster there."""

hardtanh_backward = torch.ops.aten.hardtanh_backward


def frame(x: Tensor, b: int, h: int, w: int, c: int) -> Tensor:
    """Return zeros (B, H + 2, W + 2, C), in whose middle `windows` puts one image after another."""
    return x.new_zeros(b, h + 2, w + 2, c)


def windows(x: Tensor, padded: Tensor) -> Tensor:
    """Return the 3x3 windows (B H W, 9 C) of images (B, H, W, C), zero outside."""
    padded[:, 1:-1, 1:-1].copy_(x)
    image, row, column, _ = padded.stride()
    b, h, w, c = x.shape
    view = padded.as_strided((b, h, w, 3, 3 * c), (image, row, column, row, 1))
    # a copy in any case: of single pixels a reshape alone would be a view of the frame
    return view.clone(memory_format=torch.contiguous_format).view(b * h * w, 9 * c)


def scatter(y: Tensor, b: int, h: int, w: int) -> Tensor:
    """Return images as (B H W, C) of y (B H W, 9 C): the adjoint of `windows`."""
    y = y.view(b, h, w, 3, -1)
    rows = y[:, :, :, 1].clone()
    rows[:, 1:].add_(y[:, :-1, :, 2])
    rows[:, :-1].add_(y[:, 1:, :, 0])
    rows = rows.view(b, h, w, 3, -1)
    out = rows[:, :, :, 1].clone()
    out[:, :, 1:].add_(rows[:, :, :-1, 2])
    out[:, :, :-1].add_(rows[:, :, 1:, 0])
    return out.view(b * h * w, -1)


def _room(pixels: int, stacks: Sequence[Tensor], depth: int = 1) -> list[tuple[Tensor, ...]]:
    """Return memory for the hidden layers (N, P) of `depth` networks, a pixel's channels in a row."""
    return unstack([b.new_empty(depth, pixels, b.shape[1]).mT for b in stacks[1:-2:2]])


def _to_scale(raw: Tensor, out: Tensor) -> Tensor:
    """Return the scales of raw scales, in `out`; see `gdl.flows.coupling.sigmoid_scale`."""
    torch.add(raw, 2, out=out).sigmoid_()
    return torch.add(out.new_tensor(LOWEST), out, alpha=1 - LOWEST, out=out)


def _coupling_backward(g: Tensor, moved: Tensor, scale: Tensor, g_log_det: Tensor) -> Tensor:
    """Return the gradient of shift and raw scale (P, 2 C), given the gradient g of moved (P, C)."""
    half = g.shape[1]
    out = g.new_empty(len(g), 2 * half)
    torch.mul(g, scale, out=out[:, :half])
    # moved = (before + shift) scale, and d scale / d raw = (scale - LOWEST) (1 - scale) / (1 - LOWEST)
    slope = (scale - LOWEST).mul_(1 - scale).div_(scale)
    total = torch.addcmul(g_log_det, g, moved)
    torch.mul(total, slope, out=out[:, half:]).mul_(1 / (1 - LOWEST))
    return out


def _conv_net(
    x: Tensor,
    net: Layers,
    padded: Tensor,
    hidden: Sequence[Tensor],
    size: tuple[int, int, int],
) -> tuple[Tensor, list[Tensor]]:
    """Return the output (B H W, O) of a `FusedSteps` network, and its layers, of x (B H W, C).

    Its hidden layers are written to `hidden`.
    """
    layers = hidden_layers(windows(clipped(x).view(*size, -1), padded).t(), net, hidden)
    return scatter(mm(layers[-1].t(), net[-2].t()), *size).add_(net[-1].t()), layers


class FusedSteps(torch.autograd.Function):
    """K times y = W x + b per pixel, then a coupling, on images x (B, C, H, W).

    Returns z (B, C, H, W) and the couplings' log-determinant (B,); the linear maps' is left out. The
    first half of the channels stays, the other becomes (half + shift) * scale, or half + shift where
    the networks have C / 2 outputs. The networks have three layers and see the `clipped` half:

    - w1 (N, 9 C / 2), a 3x3 convolution; a row is a window, pixel by pixel, its channels last;
    - w2 (N, N), a 1x1 convolution;
    - w3 (9 O, N), a 3x3 convolution, transposed: row (i, j, o) is what a pixel gives to channel o of
      the pixel i - 1 rows below and j - 1 columns to the right. The bias b3 has O elements.

    `apply(x, weight (K, C, C), bias (K, C), w1 (K, N, 9 C / 2), b1 (K, N), w2, b2, w3, b3)`.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, *stacks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See the class."""
        b, c, h, w = x.shape
        half = c // 2
        x = x.permute(0, 2, 3, 1).reshape(b * h * w, c)
        nets = networks(stacks)
        affine = stacks[-1].shape[1] == c
        scales = x.new_empty(len(nets), len(x), half) if affine else None
        keep = any(ctx.needs_input_grad)
        small = h * w <= SMALL and not keep
        convolutions = as_convolutions(stacks) if small else []
        kept, rooms = [], [] if small else _room(len(x), stacks, len(nets) if keep else 1)
        padded = x if small else frame(x, b, h, w, half)
        for k, net in enumerate(nets):
            y = addmm(bias[k], x, weight[k].t())
            if small:
                out, layers = _convolve(y[:, :half], convolutions[k], (b, h, w)), []
            else:
                room = rooms[k if keep else 0]
                out, layers = _conv_net(y[:, :half], net, padded, room, (b, h, w))
            moved = y[:, half:].add_(out[:, :half])
            if scales is not None:
                moved.mul_(_to_scale(out[:, half:], out=scales[k]))
            if keep:
                kept.append((x, layers))
            x = y
        log_det = x.new_zeros(b)
        if scales is not None:
            log_det = scales.view(len(nets), b, -1).log().sum((0, 2))
        ctx.save_for_backward(x, weight, *stacks)
        ctx.kept, ctx.scales, ctx.size = kept, scales, (b, h, w)
        return x.view(b, h, w, c).permute(0, 3, 1, 2), log_det

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See the class."""
        z, weight, *stacks = ctx.saved_tensors
        (b, h, w), half, scales = ctx.size, z.shape[1] // 2, ctx.scales
        # a copy, because it is written to and may be autograd's own
        g = gs[0].permute(0, 2, 3, 1).reshape(z.shape).clone()
        g_log_det = gs[1].repeat_interleave(h * w)[:, None]
        grads = [torch.empty_like(t) for t in (weight, *stacks)]
        g_bias = z.new_empty(weight.shape[:2])
        padded = frame(g, b, h, w, stacks[-1].shape[1])
        (hidden,), nets = _room(len(g), stacks), networks(stacks)
        for k in reversed(range(len(weight))):
            x, layers = ctx.kept[k]
            net, net_grads = nets[k], [s[k] for s in grads[1:]]
            if scales is None:
                g_out = g[:, half:].contiguous()
            else:
                g_out = _coupling_backward(g[:, half:], z[:, half:], scales[k], g_log_det)
                g[:, half:] = g_out[:, :half]
            torch.sum(g_out, 0, out=net_grads[-1])
            g_out = windows(g_out.view(b, h, w, -1), padded)
            g_first = net_backward(g_out.t(), layers, net, net_grads, hidden)
            g_stays = scatter(mm(g_first.t(), net[0]), b, h, w)
            g[:, :half].add_(hardtanh_backward(g_stays, z[:, :half], -WIDEST, WIDEST))
            mm(g.t(), x, out=grads[0][k])
            torch.sum(g, 0, out=g_bias[k])
            g, z = mm(g, weight[k]), x
        return g.view(b, h, w, -1).permute(0, 3, 1, 2), grads[0], g_bias, *grads[1:]


def invert(
    z: Tensor,
    inverse: Tensor,
    bias: Tensor,
    stacks: Sequence[Tensor],
    convolutions: Sequence[Sequence[Tensor]],
    pixels: int = 2048,
) -> Tensor:
    """Return x (B, C, H, W) that `FusedSteps` maps to z.

    Args:
        z: Latents (B, C, H, W).
        inverse: W^-1, (K, C, C).
        bias: -W^-1 b, (K, C).
        stacks: The networks, as in `FusedSteps`.
        convolutions: The same, as `as_convolutions` returns them.
        pixels: Images are inverted in parts of about this many pixels, which fit into the cache.
    """
    h, w = z.shape[2:]
    if h * w <= SMALL:
        size = (len(z), h, w)
        return _invert(z, inverse, bias, lambda k, x: _convolve(x, convolutions[k], size))
    nets, parts = networks(stacks), z.split(max(1, pixels // (h * w)))
    (room,) = _room(len(parts[0]) * h * w, stacks)
    padded = frame(z, len(parts[0]), h, w, z.shape[1] // 2)

    def run(k: int, x: Tensor) -> Tensor:
        b = len(x) // (h * w)  # the last part may be smaller
        return _conv_net(x, nets[k], padded[:b], [t[:, : len(x)] for t in room], (b, h, w))[0]

    return torch.cat([_invert(part, inverse, bias, run) for part in parts])


def _invert(
    z: Tensor, inverse: Tensor, bias: Tensor, run: Callable[[int, Tensor], Tensor]
) -> Tensor:
    """Return x, where `run` gives the output of the k-th network (P, O) of the half that stays."""
    b, c, h, w = z.shape
    half = c // 2
    x = z.permute(0, 2, 3, 1).reshape(b * h * w, c).clone()
    for k in reversed(range(len(inverse))):
        out = run(k, x[:, :half])
        moved = x[:, half:]
        if out.shape[1] == c:
            raw = out[:, half:]
            moved.div_(_to_scale(raw, out=raw))
        moved.sub_(out[:, :half])
        x = addmm(bias[k], x, inverse[k].t())
    return x.view(b, h, w, c).permute(0, 3, 1, 2)


def as_convolutions(stacks: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Return the networks as convolutions, channels last within."""
    w1, b1, w2, b2, w3, b3 = stacks
    first = w1.unflatten(2, (3, 3, -1)).permute(0, 1, 4, 2, 3)
    last = w3.unflatten(1, (3, 3, -1)).flip(1, 2).permute(0, 3, 1, 2, 4)
    last = last.contiguous().permute(0, 1, 4, 2, 3)
    return unstack((first, b1, w2[..., None, None], b2, last, b3))


def _convolve(x: Tensor, net: Sequence[Tensor], size: tuple[int, int, int]) -> Tensor:
    """Return the output (P, O) of a network of x (P, C)."""
    h = clipped(x).contiguous().view(*size, -1).permute(0, 3, 1, 2)
    h = F.conv2d(h, net[0], net[1], padding=1).relu_()
    h = F.conv2d(h, net[2], net[3]).relu_()
    return F.conv2d(h, net[4], net[5], padding=1).permute(0, 2, 3, 1).reshape(len(x), -1)
