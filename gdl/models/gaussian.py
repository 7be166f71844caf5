"""Gaussian: Gauss, 1809, "Theoria motus corporum coelestium in sectionibus conicis solem ambientium".

Perthes & Besser, Hamburg. The baseline that every other density should beat: all pairs of dimensions
are correlated, and nothing else is known.
"""

import math
from collections.abc import Sequence

from gdl.errors import GdlError
from gdl.families.flow import FlowModel
from gdl.flows.base import Chain
from gdl.flows.priors import NormalPrior
from gdl.flows.vectors import Flatten, Standardize, Whitening

__all__ = ["Gaussian"]

LARGEST = 3072
"""Dimensions; the covariance has the square of it, and its Cholesky factor costs the cube."""


class Gaussian(FlowModel):
    """N(mean, covariance) with a full covariance, as the flow that whitens: z = W (x - mean).

    It starts at the estimate of the training data in closed form, with a covariance that is shrunk as
    far as few rows ask for, see `gdl.flows.vectors.Whitening`. Training by gradient goes on from
    there. Latents are the whitened data.

    Args:
        shape: (C, H, W) of an image or (D,) of a vector.
        levels: Number of values of a pixel, None for continuous data.
        dequantization: See `FlowModel`.
        noise_couplings: See `FlowModel`.
        noise_width: See `FlowModel`.
        num_classes: Number of labels of a conditional model, whose classes share a covariance up to
            the scales of the whitened dimensions.
        label_dropout: See `ClassLabels`.

    Raises:
        GdlError: There are more than `LARGEST` dimensions.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None,
        dequantization: str = "uniform",
        noise_couplings: int = 4,
        noise_width: int = 32,
        num_classes: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        d = math.prod(shape)
        if d > LARGEST:
            raise GdlError(
                f"The covariance of {d} dimensions has {d**2:.2g} numbers, too many: use smaller "
                f"images, with at most {LARGEST} dimensions, or model=realnvp."
            )
        flow = Chain([Flatten(shape), Standardize(d), Whitening(d)])
        noise = (dequantization, noise_couplings, noise_width)
        labels = (num_classes, label_dropout)
        super().__init__(shape, levels, flow, NormalPrior(), *noise, *labels)
