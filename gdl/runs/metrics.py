"""The numbers of metrics.json: what their names, kinds and units are."""

from typing import Any

__all__ = ["BOUNDS", "COSTS", "KINDS", "NAMES", "TERMS", "data_name", "unit"]

COSTS = {"params": "parameters", "train_seconds": "train seconds", "sampling_ms": "ms a sample"}
"""Keys of metrics.json that are costs, and the names of their columns."""


NAMES = {
    "test/kl": "KL(data, model), nats",
    "test/entropy": "entropy of the data, nats",
    "test/points": "test points",
    "test/elbo": "ELBO",
    "test/rate": "rate",
    "test/distortion": "distortion",
    "active_units": "active units",
    "inversion/max_error": "largest inversion error (levels of a pixel; of continuous data their unit)",
    "reconstruction/max_error": "largest reconstruction error (levels of a pixel)",
    "reconstruction/mean_error": "mean",
    "samples/nonfinite": "non-finite samples",
    "samples/unlikely": "exploded samples",
    "skipped_steps": "training steps skipped as not finite",
}
"""What a number is called where it is printed, by its key."""

TERMS = {"bpd": "bits/dim", "nll": "nll (nats)", "loss": "loss"}
"""What a curve may show, the first that a run has, and its name."""

BOUNDS = ("iwae-", "dequant-")
"""What keys of metrics.json begin with that hold tighter bounds than the test's own; K follows."""

KINDS = (*BOUNDS, "given-", "ordered-")
"""What keys of metrics.json begin with that hold likelihoods beside the test's own."""


def unit(metrics: dict[str, Any]) -> tuple[str, str]:
    """Return key and name of the unit of a likelihood: bits/dim, or nats on continuous data."""
    return ("bpd", "bits/dim") if "test/bpd" in metrics else ("nll", "nats")


def data_name(metrics: dict[str, Any]) -> str:
    """Return the name of the data with what a number on them depends on, e.g. the binarization."""
    name = str(metrics.get("data", "?"))
    for detail in ("data/binarization", "data/target"):
        if detail in metrics:
            name += f" ({metrics[detail]})"
    if metrics.get("data/verified") is False:
        name += " (copy with other checksums)"
    return name
