"""NICE: Dinh, Krueger & Bengio, 2014, "NICE: Non-linear independent components estimation".

arXiv 1410.8516, in the final version's recipe for MNIST. A coupling, with its formula and inverse, is
`AdditiveCoupling` in `gdl.flows.coupling`.
"""

import math
from collections.abc import Sequence

from gdl.errors import GdlError
from gdl.families.flow import FlowModel
from gdl.flows.base import Chain
from gdl.flows.priors import LogisticPrior, NormalPrior
from gdl.flows.stacked import VectorCouplings
from gdl.flows.vectors import Flatten, Permutation, Scale, first_maps

__all__ = ["NICE"]

PRIORS = {"logistic": LogisticPrior, "normal": NormalPrior}


class NICE(FlowModel):
    """Additive couplings of two halves of a vector, then one scale per dimension (Section 5.1).

    An image is a vector whose halves are its even and its odd dimensions. The half that stays
    alternates from coupling to coupling: (x1, x2) -> (x1, x2 + t(x1)), then (x1 + t(x2), x2), and so
    on. Where D is odd, the first half is the larger one. Couplings preserve volumes; the scaling
    (Section 3.3) is the whole log-determinant. Latents are independent, logistic or normal.

    Args:
        shape: (C, H, W) of an image or (D,) of a vector, with two dimensions or more.
        levels: Number of values of a pixel, None for continuous data.
        num_couplings: Couplings; the half that stays alternates.
        hidden: Widths of the hidden layers of their ReLU networks.
        prior: "logistic" (the paper's for MNIST, SVHN and CIFAR-10) or "normal" (for TFD).
        init_range: The networks' parameters start uniform in +- this.
        checkpoint_conditioners: Recompute the networks' activations on the way back, to save memory.
        dequantization: See `FlowModel`.
        standardize: Vectors of real numbers first get mean 0 and standard deviation 1 in each
            dimension, see `gdl.flows.vectors.Standardize`.
        whiten: They are decorrelated next, so that training starts at the Gaussian of the data.
        noise_couplings: See `FlowModel`.
        noise_width: See `FlowModel`.
        num_classes: Number of labels of a conditional flow, which has a prior per class.
        label_dropout: See `ClassLabels`.

    Raises:
        GdlError: There is one dimension, or the prior is unknown.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None,
        num_couplings: int = 4,
        hidden: Sequence[int] = (1000, 1000, 1000, 1000, 1000),
        prior: str = "logistic",
        init_range: float = 0.01,
        dequantization: str = "uniform",
        checkpoint_conditioners: bool = False,
        standardize: bool = False,
        whiten: bool = False,
        noise_couplings: int = 4,
        noise_width: int = 32,
        num_classes: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        d = math.prod(shape)
        if d < 2:
            raise GdlError(
                "NICE couples two halves of a vector, and these data have one dimension: use "
                "model=realnvp for one dimension."
            )
        if prior not in PRIORS:
            raise GdlError(f"model.prior must be one of {', '.join(PRIORS)}, got {prior!r}.")
        # even dimensions first, then odd ones: neighbouring pixels are in different halves
        order = [*range(0, d, 2), *range(1, d, 2)]
        # the same map as `num_couplings` times AdditiveCoupling, computed faster
        couplings = VectorCouplings(
            d,
            num_couplings,
            hidden,
            affine=False,
            init_range=init_range,
            checkpoint_conditioners=checkpoint_conditioners,
        )
        first = first_maps(d, standardize, whiten) if levels is None else []
        flow = Chain([Flatten(shape), *first, Permutation(order), couplings, Scale([d])])
        noise = (dequantization, noise_couplings, noise_width)
        labels = (num_classes, label_dropout)
        super().__init__(shape, levels, flow, PRIORS[prior](), *noise, *labels)
