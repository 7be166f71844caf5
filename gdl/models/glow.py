"""Glow: Kingma & Dhariwal, 2018, "Glow: Generative flow with invertible 1x1 convolutions".

arXiv 1807.03039: a step is ActNorm, an invertible 1x1 convolution and an affine coupling; a level
is a squeeze and K steps, then half of the channels leave.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from gdl.errors import GdlError
from gdl.flows.base import Bijection, Chain
from gdl.flows.coupling import AdditiveCoupling, AffineCoupling, sigmoid_log_scale
from gdl.flows.dequantize import Affine
from gdl.flows.linear import ActNorm, Conv1x1, mix_channels
from gdl.flows.reshape import MultiScale, SplitPrior, Squeeze
from gdl.models.flow import FlowModel, NormalPrior
from gdl.nn.coupling import GlowConditioner, ZeroConv

__all__ = ["Glow", "GlowSteps"]


class GlowSteps(Bijection):
    """K steps of ActNorm, 1x1 convolution and coupling, on images of one size.

    ActNorm and 1x1 convolution are one linear map W diag(s) (x + b), so they are applied as one
    convolution, and the K matrices are made in a few batched operations.

    Args:
        couplings: Couplings of images with C channels; each gets an ActNorm and a 1x1 convolution.
        num_channels: C.
    """

    def __init__(self, couplings: Sequence[Bijection], num_channels: int) -> None:
        super().__init__()
        # a ModuleList does not say to a type checker what is in it
        norms, mixers = ([layer(num_channels) for _ in couplings] for layer in (ActNorm, Conv1x1))
        self.norms = cast(list[ActNorm], nn.ModuleList(norms))
        self.mixers = cast(list[Conv1x1], nn.ModuleList(mixers))
        self.couplings = cast(list[Bijection], nn.ModuleList(couplings))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        if any(norm._in_pass for norm in self.norms):
            return self._one_by_one(x)
        weights, bias, log_det_per_pixel = self._linear_maps()
        log_dets = []
        for coupling, w, b in zip(self.couplings, weights, bias, strict=True):
            x, log_det = coupling(mix_channels(x, w, b))
            log_dets.append(log_det)
        return x, torch.stack(log_dets).sum(0) + log_det_per_pixel * x[0, 0].numel()

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        inverses = Conv1x1.inverses(self.mixers)
        log_scale = torch.stack([norm.log_scale for norm in self.norms])
        weights = ((-log_scale.double()).exp()[..., None] * inverses).to(z.dtype)
        for i in reversed(range(len(self.couplings))):
            z = self.couplings[i].inverse(z)
            z = mix_channels(z, weights[i], -self.norms[i].bias)
        return z

    def _linear_maps(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return W diag(s) (K, C, C) and W diag(s) b (K, C), and their log-determinant per pixel."""
        weights = Conv1x1.weights(self.mixers)
        log_scale = torch.stack([norm.log_scale for norm in self.norms])
        bias = torch.stack([norm.bias for norm in self.norms])
        log_s = torch.stack([mixer.log_s for mixer in self.mixers])
        with torch.autocast(weights.device.type, enabled=False):
            weights = weights * log_scale.exp()[:, None]
            return weights, (weights @ bias[..., None]).squeeze(-1), log_scale.sum() + log_s.sum()

    def _one_by_one(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the layers in order, as the data-dependent initialisation needs it."""
        steps = zip(self.norms, self.mixers, self.couplings, strict=True)
        return Chain([layer for step in steps for layer in step])(x)


class Glow(FlowModel):
    """Affine (or additive) couplings between invertible 1x1 convolutions, multi-scale.

    Args:
        shape: (C, H, W) of an image, H and W even.
        levels: Number of values of a pixel.
        num_levels: L; fewer where the size does not allow them.
        depth: K, steps per level.
        width: Hidden channels of the coupling networks.
        coupling: "affine" or "additive".
        net_norm: ActNorm inside the coupling networks, as in Glow's code.
        optimizer: See `GenerativeModel`.
        scheduler: See `GenerativeModel`.
        dequantization: See `FlowModel`.

    Raises:
        GdlError: The data are not images of an even size.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None,
        optimizer: Callable[..., Any],
        scheduler: Callable[..., Any] | None = None,
        num_levels: int = 3,
        depth: int = 32,
        width: int = 512,
        coupling: str = "affine",
        net_norm: bool = True,
        dequantization: str = "uniform",
    ) -> None:
        if len(shape) != 3 or shape[1] % 2 or shape[2] % 2:
            raise GdlError(
                f"Glow models images of an even height and width, got {list(shape)}: use "
                "model=realnvp."
            )
        if coupling not in ("affine", "additive"):
            raise GdlError(f"model.coupling must be affine or additive, got {coupling!r}.")
        c, h, w = shape
        parts: list[Chain] = []
        splits: list[SplitPrior] = []
        shapes: list[tuple[int, int, int]] = []
        while True:
            c, h, w = 4 * c, h // 2, w // 2
            couplings = [_coupling(c, width, coupling, net_norm) for _ in range(depth)]
            parts.append(Chain([Squeeze(), GlowSteps(couplings, c)]))
            shapes.append((c, h, w))
            if len(parts) == num_levels or h % 2 or w % 2 or min(h, w) < 4:
                break
            c //= 2
            splits.append(SplitPrior(ZeroConv(c, 2 * c)))
        # the learned top prior is a Gaussian per channel, the same family as an ActNorm's inverse
        parts[-1] = Chain([*parts[-1].steps, ActNorm(c)])
        # pixels to [-1/2, 1/2): no logit, as in Glow's code
        flow = Chain([Affine(1.0, -0.5), MultiScale(parts, splits, shapes)])
        super().__init__(shape, levels, flow, NormalPrior(), optimizer, scheduler, dequantization)


def _coupling(c: int, width: int, kind: str, norm: bool) -> Bijection:
    out = c if kind == "affine" else c // 2
    net = GlowConditioner(c // 2, out, width, norm)
    if kind == "additive":
        return AdditiveCoupling(net)
    return AffineCoupling(net, log_scale=sigmoid_log_scale)
