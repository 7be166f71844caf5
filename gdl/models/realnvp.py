"""Real NVP: Dinh, Sohl-Dickstein & Bengio, 2017, "Density estimation using Real NVP".

arXiv 1605.08803. The couplings, with their formulas and inverses, are `MaskedCoupling` in
`gdl.flows.masked` and `AffineCoupling` in `gdl.flows.coupling`.
"""

import functools
from collections.abc import Callable, Sequence

from torch import nn

from gdl.errors import GdlError
from gdl.families.flow import FlowModel
from gdl.flows.base import Bijection, Chain
from gdl.flows.coupling import AffineCoupling
from gdl.flows.dequantize import Logit
from gdl.flows.linear import ActNorm
from gdl.flows.masked import MaskedCoupling, checkerboard
from gdl.flows.mixture import MixtureCoupling, MixtureLogit
from gdl.flows.multiscale import MultiScale, SplitPrior, Squeeze
from gdl.flows.priors import NormalPrior
from gdl.flows.stacked import VectorCouplings
from gdl.flows.vectors import first_maps
from gdl.nn.coupling_networks import ConvConditioner, VectorConditioner, ZeroConv

__all__ = ["RealNVP"]


class RealNVP(FlowModel):
    """Affine couplings, of images with residual networks in a multi-scale architecture.

    Images: at each scale 3 couplings of pixels in a checkerboard, a squeeze, 3 couplings of channels;
    then half of the channels are latents, and the other half goes on. The last scale has 4 couplings
    of pixels (Section 3.6).

    Vectors: couplings of two halves with perceptrons, affine as in the paper, or through mixtures of
    logistics as in Flow++ (`gdl.flows.mixture`), which split and join modes that affine ones can only
    move. Where D is odd, the first half is the larger one. A vector of one dimension has no halves:
    its maps are such mixtures without a network.

    Note:
        ActNorm takes the place of the paper's batch normalisation between couplings, whose
        log-determinant in evaluation differs from training's. The latents that leave early have a
        learned Gaussian given the rest, which contains the paper's N(0, I).

    Args:
        shape: (C, H, W) of an image or (D,) of a vector.
        levels: Number of values of a pixel, None for continuous data.
        num_scales: Scales of the images; fewer where the size does not allow them.
        width: Channels of the networks at the first scale, doubled after each squeeze.
        blocks: Residual blocks of a network.
        alpha: Images are mapped to logit(alpha + (1 - 2 alpha) y).
        num_couplings: Couplings, for vectors; in one dimension maps of the line.
        hidden: Hidden layers of the networks, for vectors.
        checkpoint_conditioners: Recompute the networks' activations on the way back, for images.
        coupling: "affine", or "mixture" for vectors.
        mixtures: Logistics in a mixture.
        dequantization: See `FlowModel`.
        standardize: Vectors of real numbers first get mean 0 and standard deviation 1 in each
            dimension, see `gdl.flows.vectors.Standardize`.
        whiten: They are decorrelated next, so that training starts at the Gaussian of the data.
        noise_couplings: See `FlowModel`.
        noise_width: See `FlowModel`.
        num_classes: Number of labels of a conditional flow, which has a prior per class.
        label_dropout: See `ClassLabels`.

    Raises:
        GdlError: There is no such coupling, or a number is below 1.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None,
        num_scales: int = 2,
        width: int = 32,
        blocks: int = 4,
        alpha: float = 0.05,
        num_couplings: int = 8,
        hidden: Sequence[int] = (64, 64),
        coupling: str = "affine",
        mixtures: int = 8,
        dequantization: str = "uniform",
        checkpoint_conditioners: bool = False,
        standardize: bool = False,
        whiten: bool = False,
        noise_couplings: int = 4,
        noise_width: int = 32,
        num_classes: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        if coupling not in ("affine", "mixture"):
            raise GdlError(f"model.coupling must be affine or mixture, got {coupling!r}.")
        for name, number in (("mixtures", mixtures), ("num_scales", num_scales)):
            if number < 1:
                raise GdlError(f"model.{name} must be 1 or more, got {number}.")
        if len(shape) == 1:
            first = first_maps(shape[0], standardize, whiten)
            steps = _vector_flow(shape[0], num_couplings, hidden, coupling, mixtures)
            flow = Chain([*first, *steps])
        elif coupling == "mixture":
            raise GdlError("model.coupling=mixture is for vectors: images need coupling=affine.")
        else:
            make_net = functools.partial(
                ConvConditioner, blocks=blocks, recompute=checkpoint_conditioners
            )
            images = _image_flow(tuple(shape), num_scales, width, make_net)
            flow = Chain([Logit(alpha), images])
        noise = (dequantization, noise_couplings, noise_width)
        labels = (num_classes, label_dropout)
        super().__init__(shape, levels, flow, NormalPrior(), *noise, *labels)


def _vector_flow(
    d: int, num_couplings: int, hidden: Sequence[int], coupling: str, mixtures: int
) -> list[Bijection]:
    """Return the maps of vectors (B, D), an ActNorm before, between and behind the couplings."""
    maps: list[Bijection] = []
    if d == 1:
        maps = [MixtureLogit(1, mixtures) for _ in range(num_couplings)]
    elif coupling == "affine":
        # the same map as `num_couplings` times AffineCoupling, computed faster
        maps = [VectorCouplings(d, num_couplings, hidden)]
    else:
        halves = (d - d // 2, d // 2)  # the one that stays comes first in every second coupling
        for k in range(num_couplings):
            stays, moved = halves[:: -1 if k % 2 else 1]
            net = VectorConditioner(stays, 3 * mixtures * moved, hidden)
            maps.append(MixtureCoupling(net, mixtures, swap=k % 2 > 0))
    steps: list[Bijection] = [ActNorm(d)]
    for m in maps:
        steps += [m, ActNorm(d)]
    return steps


MakeNet = Callable[[int, int, int], nn.Module]
"""(channels of the input, of the output, in between) -> network of a coupling."""


def _image_flow(
    shape: tuple[int, ...], num_scales: int, width: int, make_net: MakeNet
) -> Bijection:
    """Return the multi-scale flow of images (C, H, W), see Section 3.6 and Figure 4."""
    c, h, w = shape
    scales: list[Bijection] = []
    splits: list[SplitPrior] = []
    shapes: list[tuple[int, int, int]] = []
    while len(scales) < num_scales - 1 and h % 2 == w % 2 == 0 and min(h, w) >= 4:
        checkerboards = _checkerboard_couplings(3, (c, h, w), width, make_net)
        c, h, w, width = 4 * c, h // 2, w // 2, 2 * width
        channels = _channel_couplings(3, c, width, make_net)
        scales.append(Chain([*checkerboards, Squeeze(), *channels]))
        shapes.append((c, h, w))
        c //= 2
        splits.append(SplitPrior(ZeroConv(c, 2 * c)))
    last = _checkerboard_couplings(4, (c, h, w), width, make_net)
    return MultiScale([*scales, Chain([*last, ActNorm(c)])], splits, [*shapes, (c, h, w)])


def _checkerboard_couplings(
    count: int, shape: tuple[int, int, int], width: int, make_net: MakeNet
) -> list[Bijection]:
    """Return couplings of pixels, the masks even and odd in turn, each behind an ActNorm."""
    c, h, w = shape
    steps: list[Bijection] = []
    for i in range(count):
        mask = checkerboard(h, w, odd=i % 2 > 0)
        steps += [ActNorm(c), MaskedCoupling(make_net(c, 2 * c, width), mask)]
    return steps


def _channel_couplings(count: int, c: int, width: int, make_net: MakeNet) -> list[Bijection]:
    """Return couplings of the halves of the channels, in turn, each behind an ActNorm."""
    steps: list[Bijection] = []
    for i in range(count):
        steps += [ActNorm(c), AffineCoupling(make_net(c // 2, c, width), swap=i % 2 > 0)]
    return steps
