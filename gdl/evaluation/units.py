"""A negative log-likelihood as numbers of metrics.json, and checks of what measures are given."""

from torch import Tensor

from gdl.capabilities import Incapable
from gdl.data.splits import SPLITS
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.families.terms import with_error

__all__ = ["at_least_one", "known_split", "nats_and_bits", "several_images"]


def nats_and_bits(
    model: GenerativeModel, prefix: str, nll: Tensor, dims: int | None = None
) -> dict[str, float]:
    """Return the mean and its standard error, in nats and, of integer data, in bits/dim.

    One image has no standard error, and without a pixel there are no bits/dim: they are left out.

    Args:
        model: Whose images they are.
        prefix: The keys are {prefix}/nll, {prefix}/nll_se, {prefix}/bpd and {prefix}/bpd_se.
        nll: -log p(x) or a bound of it (N,) in nats.
        dims: How many pixels were scored, by default D = C H W.
    """
    nats = with_error(f"{prefix}/nll", nll)
    if model.levels is None or dims == 0:
        return nats
    bits = {k.replace("/nll", "/bpd"): model.bits_per_dim(v, dims) for k, v in nats.items()}
    return nats | bits


def at_least_one(name: str, value: object) -> None:
    """Check a number of samples or images.

    Args:
        name: What it is called in the error.
        value: The number.

    Raises:
        GdlError: It is no whole number, or below 1.
    """
    if not isinstance(value, int) or value < 1:
        raise GdlError(f"{name} must be a whole number of at least 1, got {value!r}.")


def known_split(split: str) -> None:
    """Check measure.split.

    Raises:
        GdlError: There is no such split.
    """
    if split not in SPLITS:
        raise GdlError(f"There is no measure.split={split}: use {', '.join(SPLITS)}.")


def several_images(measure: str, split: str, images: Tensor) -> None:
    """Check that there are images to compare with one another.

    Args:
        measure: Name of the measure.
        split: What the images are, e.g. "test".
        images: (N, ...).

    Raises:
        Incapable: There is one image.
    """
    if len(images) < 2:
        raise Incapable(
            f"measure={measure} asks for at least 2 {split} images, to see how they vary, got "
            f"{len(images)}: raise limit, or use larger data."
        )
