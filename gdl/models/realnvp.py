"""Real NVP: Dinh, Sohl-Dickstein & Bengio, 2017, "Density estimation using Real NVP".

arXiv 1605.08803: affine couplings with residual networks, checkerboard then channel-wise, in a
multi-scale architecture.
"""

import functools
from collections.abc import Callable, Sequence

from torch import nn

from gdl.errors import GdlError
from gdl.families.flow import FlowModel
from gdl.flows.base import Bijection, Chain
from gdl.flows.coupling import AffineCoupling, MaskedCoupling, checkerboard
from gdl.flows.dequantize import Logit
from gdl.flows.linear import ActNorm
from gdl.flows.mixture import MixtureCoupling, MixtureLogit
from gdl.flows.priors import NormalPrior
from gdl.flows.reshape import MultiScale, SplitPrior, Squeeze
from gdl.flows.stacked.vector_couplings import VectorCouplings
from gdl.nn.coupling_networks import ConvConditioner, VectorConditioner, ZeroConv

__all__ = ["RealNVP"]


class RealNVP(FlowModel):
    """Images: per scale 3 checkerboard couplings, squeeze, 3 channel-wise ones; 4 at the last.

    Vectors: couplings of two halves with perceptrons, affine as in the paper, or through mixtures of
    logistics as in Flow++ (`gdl.flows.mixture`), which split and join modes that affine ones can only
    move. A vector of one dimension has no halves: its maps are such mixtures without a network.

    Note:
        ActNorm takes the place of the paper's batch normalisation between couplings, whose
        log-determinant in evaluation differs from training's. The latents that leave early have a
        learned Gaussian given the rest, which contains the paper's N(0, I).

    Args:
        shape: (C, H, W) of an image or (D,) of a vector, D = 1 or even.
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

    Raises:
        GdlError: A size is odd where halves are needed, or there is no such coupling.
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
    ) -> None:
        if coupling not in ("affine", "mixture"):
            raise GdlError(f"model.coupling must be affine or mixture, got {coupling!r}.")
        if mixtures < 1:
            raise GdlError(f"model.mixtures must be 1 or more, got {mixtures}.")
        if len(shape) == 1:
            flow = _vector_flow(shape[0], num_couplings, hidden, coupling, mixtures)
        elif coupling == "mixture":
            raise GdlError("model.coupling=mixture is for vectors: images need coupling=affine.")
        else:
            make_net = functools.partial(
                ConvConditioner, blocks=blocks, recompute=checkpoint_conditioners
            )
            images = _image_flow(tuple(shape), num_scales, width, make_net)
            flow = Chain([Logit(alpha), images])
        super().__init__(shape, levels, flow, NormalPrior(), dequantization)


def _vector_flow(
    d: int, num_couplings: int, hidden: Sequence[int], coupling: str, mixtures: int
) -> Chain:
    half = d // 2
    maps: list[Bijection]
    if d == 1:
        maps = [MixtureLogit(1, mixtures) for _ in range(num_couplings)]
    elif d % 2:
        raise GdlError(
            f"Real NVP couples two halves of a vector, but the data have {d} dimensions, an odd "
            "number: use data=toy1d or data=toy2d."
        )
    elif coupling == "affine":
        maps = [VectorCouplings(d, num_couplings, hidden)]
    else:
        nets = [VectorConditioner(half, 3 * mixtures * half, hidden) for _ in range(num_couplings)]
        maps = [MixtureCoupling(net, mixtures, bool(k % 2)) for k, net in enumerate(nets)]
    steps: list[Bijection] = [ActNorm(d)]
    for m in maps:
        steps += [m, ActNorm(d)]
    return Chain(steps)


def _image_flow(
    shape: tuple[int, ...], num_scales: int, width: int, make_net: Callable[..., nn.Module]
) -> Bijection:
    c, h, w = shape
    levels: list[Bijection] = []
    splits: list[SplitPrior] = []
    shapes: list[tuple[int, int, int]] = []
    while True:
        last = len(levels) == num_scales - 1 or h % 2 > 0 or w % 2 > 0 or min(h, w) < 4
        steps: list[Bijection] = []
        for i in range(4 if last else 3):
            net = make_net(c, 2 * c, width)
            steps += [ActNorm(c), MaskedCoupling(net, checkerboard(h, w, odd=bool(i % 2)))]
        if last:
            break
        c, h, w, width = 4 * c, h // 2, w // 2, 2 * width
        steps.append(Squeeze())
        for i in range(3):
            net = make_net(c // 2, c, width)
            steps += [ActNorm(c), AffineCoupling(net, swap=bool(i % 2))]
        levels.append(Chain(steps))
        shapes.append((c, h, w))
        c //= 2
        splits.append(SplitPrior(ZeroConv(c, 2 * c)))
    levels.append(Chain([*steps, ActNorm(c)]))
    shapes.append((c, h, w))
    return MultiScale(levels, splits, shapes)
