"""Glow: Kingma & Dhariwal, 2018, "Glow: Generative flow with invertible 1x1 convolutions".

arXiv 1807.03039: a step is ActNorm, an invertible 1x1 convolution and an affine coupling; a level
is a squeeze and K steps, then half of the channels leave.
"""

from collections.abc import Sequence

from gdl.errors import GdlError
from gdl.families.flow import FlowModel
from gdl.flows.base import Chain
from gdl.flows.dequantize import Affine, Logit
from gdl.flows.linear import ActNorm
from gdl.flows.priors import NormalPrior
from gdl.flows.reshape import MultiScale, SplitPrior, Squeeze
from gdl.flows.stacked.glow_steps import GlowSteps
from gdl.nn.coupling_networks import ZeroConv

__all__ = ["Glow"]


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
        alpha: Images are mapped to logit(alpha + (1 - 2 alpha) y) as in the paper, which images of
            few grey values need (MNIST: 1e-5); None for y - 1/2, as in Glow's code.
        checkpoint_conditioners: See `GlowSteps`.
        reversible: See `GlowSteps`.
        dequantization: See `FlowModel`.

    Raises:
        GdlError: The data are not images of an even size.
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
            steps = GlowSteps(
                c,
                depth,
                width,
                coupling == "affine",
                net_norm,
                checkpoint_conditioners,
                reversible,
            )
            parts.append(Chain([Squeeze(), steps]))
            shapes.append((c, h, w))
            if len(parts) == num_levels or h % 2 or w % 2 or min(h, w) < 4:
                break
            c //= 2
            splits.append(SplitPrior(ZeroConv(c, 2 * c)))
        # the learned top prior is a Gaussian per channel, the same family as an ActNorm's inverse
        parts[-1] = Chain([*parts[-1].steps, ActNorm(c)])
        pixels = Affine(1.0, -0.5) if alpha is None else Logit(alpha)
        flow = Chain([pixels, MultiScale(parts, splits, shapes)])
        super().__init__(shape, levels, flow, NormalPrior(), dequantization)
