"""A negative log-likelihood as numbers of metrics.json, and a check of numbers of samples."""

from torch import Tensor

from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.families.terms import mean_and_error

__all__ = ["at_least_one", "nats_and_bits"]


def nats_and_bits(
    model: GenerativeModel, prefix: str, nll: Tensor, dims: int | None = None
) -> dict[str, float]:
    """Return the mean and its standard error, in nats and, of integer data, in bits/dim.

    Args:
        model: Whose images they are.
        prefix: The keys are {prefix}/nll, {prefix}/nll_se, {prefix}/bpd and {prefix}/bpd_se.
        nll: -log p(x) or a bound of it (N,) in nats.
        dims: How many pixels were scored, by default D = C H W.
    """
    nats, error = mean_and_error(nll)
    metrics = {f"{prefix}/nll": nats, f"{prefix}/nll_se": error}
    if model.levels is not None:
        metrics[f"{prefix}/bpd"] = model.bits_per_dim(nats, dims)
        metrics[f"{prefix}/bpd_se"] = model.bits_per_dim(error, dims)
    return metrics


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
