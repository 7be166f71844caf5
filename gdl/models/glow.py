"""Glow: Kingma & Dhariwal, 2018, "Glow: Generative flow with invertible 1x1 convolutions".

arXiv 1807.03039. A step of the flow, with its formula, log-determinant and inverse, is in
`gdl.flows.glow`.
"""

from collections.abc import Sequence

from gdl.errors import GdlError
from gdl.families.flow import FlowModel
from gdl.flows.base import Bijection, Chain
from gdl.flows.dequantize import Affine, Logit
from gdl.flows.linear import ActNorm
from gdl.flows.multiscale import MultiScale, SplitPrior, Squeeze
from gdl.flows.priors import NormalPrior
from gdl.flows.stacked import GlowSteps
from gdl.nn.coupling_networks import ZeroConv

__all__ = ["Glow"]


class Glow(FlowModel):
    """Steps of ActNorm, invertible 1x1 convolution and coupling in a multi-scale architecture.

    Figure 2b of the paper: an image goes through L levels. A level squeezes 2x2 pixels into channels,
    (C, H, W) -> (4 C, H/2, W/2), and takes K steps (`GlowStep`). Behind each level but the last the
    flow splits: half of the channels are latents, with a learned Gaussian given the other half, which
    goes on to the next level.

    Args:
        shape: (C, H, W) of an image, H and W even.
        levels: Number of values of a pixel.
        num_levels: L; fewer where the size does not allow them.
        depth: K, steps per level.
        width: Hidden channels of the coupling networks.
        coupling: "affine" or "additive".
        net_norm: ActNorm inside the coupling networks, as in Glow's code.
        alpha: Images are mapped to logit(alpha + (1 - 2 alpha) y) as in the paper, which images of
            few grey values need (MNIST: 1e-5); None for y - 1/2, as in Glow's code.
        checkpoint_conditioners: Recompute the networks' activations on the way back, to save memory.
        reversible: Recompute all activations on the way back, to save more, see `ReversibleSteps`.
        dequantization: See `FlowModel`.
        noise_couplings: See `FlowModel`.
        noise_width: See `FlowModel`.
        num_classes: Number of labels of a conditional flow, which has a prior per class.
        label_dropout: See `ClassLabels`.

    Raises:
        GdlError: The data are not images of an even size, there is no such coupling, or no level.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None,
        num_levels: int = 3,
        depth: int = 32,
        width: int = 512,
        coupling: str = "affine",
        net_norm: bool = True,
        dequantization: str = "uniform",
        checkpoint_conditioners: bool = False,
        reversible: bool = False,
        alpha: float | None = None,
        noise_couplings: int = 4,
        noise_width: int = 32,
        num_classes: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        if len(shape) != 3 or shape[1] % 2 or shape[2] % 2:
            raise GdlError(
                f"Glow models images of an even height and width, got {list(shape)}: use "
                "model=realnvp."
            )
        if coupling not in ("affine", "additive"):
            raise GdlError(f"model.coupling must be affine or additive, got {coupling!r}.")
        if num_levels < 1:
            raise GdlError(f"model.num_levels must be 1 or more, got {num_levels}.")
        affine = coupling == "affine"
        scales: list[Chain] = []
        splits: list[SplitPrior] = []
        shapes = _level_shapes(shape, num_levels)
        for k, (c, _, _) in enumerate(shapes):
            # the same map as Chain(GlowStep(c, width, affine, net_norm) for _ in range(depth))
            steps = GlowSteps(
                c, depth, width, affine, net_norm, checkpoint_conditioners, reversible
            )
            level: list[Bijection] = [Squeeze(), steps]
            if k < len(shapes) - 1:
                splits.append(SplitPrior(ZeroConv(c // 2, c)))
            else:
                # a learned Gaussian per channel as the prior of the last latents is an ActNorm
                # before N(0, I)
                level.append(ActNorm(c))
            scales.append(Chain(level))
        pixels = Affine(1.0, -0.5) if alpha is None else Logit(alpha)
        flow = Chain([pixels, MultiScale(scales, splits, shapes)])
        noise = (dequantization, noise_couplings, noise_width)
        labels = (num_classes, label_dropout)
        super().__init__(shape, levels, flow, NormalPrior(), *noise, *labels)


def _level_shapes(shape: Sequence[int], num_levels: int) -> list[tuple[int, int, int]]:
    """Return (C, H, W) behind the squeeze of each level; half of the channels go on to the next."""
    c, h, w = shape
    shapes = [(4 * c, h // 2, w // 2)]
    while len(shapes) < num_levels:
        c, h, w = shapes[-1]
        if h % 2 or w % 2 or min(h, w) < 4:
            break
        shapes.append((4 * (c // 2), h // 2, w // 2))
    return shapes
