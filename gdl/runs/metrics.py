"""The numbers of metrics.json: what their names, kinds and units are."""

import hashlib
import json
from pathlib import Path
from typing import Any

from gdl.errors import GdlError
from gdl.restored_numbers import PREFIX as RESTORED
from gdl.runs.text_numbers import TEXTS, name_of_text
from gdl.runs.translation_numbers import PREFIX as TRANSLATED

__all__ = [
    "BOUNDS",
    "CODES",
    "COSTS",
    "DISENTANGLEMENT",
    "FEATURES",
    "GIVEN_LABEL",
    "GIVEN_SOURCE",
    "KINDS",
    "NAMES",
    "STEADY_COSTS",
    "TERMS",
    "about_data",
    "bits_of",
    "checked_metrics",
    "data_identity",
    "data_name",
    "data_title",
    "limits",
    "name_of",
    "not_whole",
    "stored_name",
    "unit",
]

COSTS = {"params": "parameters", "train_seconds": "train seconds", "sampling_ms": "ms a sample"}
"""Keys of metrics.json that are costs, and the names of their columns."""

STEADY_COSTS = ("params", "train_seconds")
"""Costs by which runs are called dominated; the time of a sample varies too much with other load."""

NAMES = {
    "test/kl": "KL(data, model), nats",
    "test/entropy": "entropy of the data, nats",
    "test/points": "test points",
    "test/elbo": "ELBO",
    "test/rate": "rate",
    "test/distortion": "distortion",
    "test/symbols": "symbols of a target with its end",
    "test/psnr": "peak signal-to-noise ratio of restored images (dB)",
    "active_units": "active units",
    "latents/number": "of latents",
    "latents/information": "information I(n; z) about the test images, nats",
    "latents/largest_information": "at most",
    "latents/aggregate_kl": "KL(q(z), p(z))",
    "latents/marginal_kl": "of it of the marginals",
    "latents/total_correlation": "and total correlation",
    "inversion/max_error": "largest inversion error (levels of a pixel; of continuous data their unit)",
    "reconstruction/max_error": "largest reconstruction error (levels of a pixel)",
    "reconstruction/mean_error": "mean",
    "samples/nonfinite": "non-finite samples",
    "samples/unlikely": "exploded samples",
    "skipped_steps": "training steps skipped as not finite",
}
"""What a number is called where it is printed, by its key."""

LATENTS = "latents/"
"""What keys begin with that say where the rate of a VAE goes."""

CLASSIFIED = "classify-"
"""What keys begin with that say how well classes are told apart; the name of the classifier follows."""

SCORES = {
    "/accuracy": "accuracy by Bayes' rule",
    "/log_loss": "log-loss (nats)",
    "/calibration_error": "calibration error",
}
"""What the keys of the scores of a classifier end with, and their names."""

FEATURES = "features-"
"""What keys begin with that say what features of images are worth; the name of the features follows."""

MAPPED = "map-"
"""What keys of the numbers of maps begin with; what they are follows."""

EFFECTIVE = {
    "/effective_samples": "effective samples of an image, median",
    "/effective_samples_min": "smallest",
}
"""What the keys of effective sample sizes end with, after the kind of the bound, and their names."""

TERMS = {
    "bits_per_symbol": "bits/target symbol",
    "bpd": "bits/dim",
    "bpd_given_label": "bits/dim given the label",
    "nll": "nll (nats)",
    "nll_given_label": "nats given the label",
    "loss": "loss",
}
"""What a curve may show, the first that a run has, and its name."""

BOUNDS = ("iwae-", "dequant-", "vardeq-")
"""What keys of metrics.json begin with that hold tighter bounds than the test's own; K follows."""

KINDS = (*BOUNDS, "given-", "ordered-")
"""What keys of metrics.json begin with that hold likelihoods beside the test's own."""

CODES = "code-"
"""What keys of metrics.json begin with that hold bits/dim of general coders on the test images."""

DISENTANGLEMENT = "disentanglement/"
"""What keys of metrics.json begin with that hold metrics of disentanglement; the metric follows."""

GIVEN_LABEL = "given-label"
"""The kind of -log p(x | y). It is no likelihood of the image alone, so no table compares the two."""

GIVEN_SOURCE = "given-source"
"""The kind of -log p(target | source) of pairs of texts, see `gdl.families.targets`. It is no
likelihood of whole images, so its runs have no bits/dim, and tables of their own."""

MEASURED = (
    "best_",
    "test/",
    CODES,
    CLASSIFIED,
    DISENTANGLEMENT,
    FEATURES,
    LATENTS,
    RESTORED,
    TRANSLATED,
    *TEXTS,
    *KINDS,
    *BOUNDS,
)
"""What keys of measured numbers begin with."""

IDENTITY = (
    *("data", "data/shape", "data/levels", "data/train", "data/val", "data/test"),
    *("data/binarization", "data/bits", "data/target", "data/verified", "data/digest"),
)
"""Keys of metrics.json that tell data apart; see `gdl.data.ImageData.identity`."""

UNKNOWN = "unknown data"
"""Said of runs older than digests, which have no "data/digest"."""


def name_of(key: str) -> str | None:
    """Return what a number is called where it is printed; None if it is not printed by itself.

    >>> name_of("iwae-100/effective_samples")
    'iwae-100: effective samples of an image, median'
    """
    kind, slash, rest = key.partition("/")
    if key.startswith(CODES):
        return f"{kind.removeprefix(CODES)}: bits/dim"
    if key.startswith(TEXTS):
        return name_of_text(kind, rest)
    if key.startswith(DISENTANGLEMENT):  # metrics keep their names: there are two "MIG", and more
        return None if "/" in rest or rest == "images" else rest
    if key.startswith(CLASSIFIED) and f"{slash}{rest}" in SCORES:
        return _name_of_score(kind.removeprefix(CLASSIFIED), SCORES[slash + rest])
    if key.startswith(MAPPED):
        return key.removeprefix(MAPPED)
    if f"{slash}{rest}" in EFFECTIVE:
        return f"{kind}: {EFFECTIVE[slash + rest]}"
    return NAMES.get(key, key if key.startswith(("fd-", "test/mse")) else None)


def _name_of_score(classifier: str, score: str) -> str | None:
    """Return the name of a score; of the discriminative classifiers only the accuracy is printed.

    >>> _name_of_score("iwae-16", "accuracy by Bayes' rule")
    "accuracy by Bayes' rule with iwae-16, a bound of p(x | y)"
    >>> _name_of_score("cnn-100", "accuracy by Bayes' rule")
    'accuracy of cnn-100'
    """
    if classifier.startswith(("cnn-", "logistic-")):
        return f"accuracy of {classifier}" if score.startswith("accuracy") else None
    if not score.startswith("accuracy"):
        return score
    return score if classifier == "exact" else f"{score} with {classifier}, a bound of p(x | y)"


def stored_name(key: str) -> str:
    """Return the key in metrics.json of a number that a test has logged.

    >>> stored_name("test/bpd_given_label"), stored_name("test/bpd")
    ('given-label/bpd', 'test/bpd')
    """
    stage, _, term = key.partition("/")
    unit = term.removesuffix("_given_label")
    return key if stage != "test" or unit == term else f"{GIVEN_LABEL}/{unit}"


def checked_metrics(metrics: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the content of a metrics.json, which may be somebody else's, if it is what gdl writes.

    Raises:
        GdlError: A value is of another type, or too large for a number.
    """
    for key, value in metrics.items():
        of_data = key.startswith("data/")
        measured = key in (*COSTS, "epochs", "steps")
        measured |= key.startswith(MEASURED) or name_of(key) is not None
        flag = isinstance(value, bool)
        number = isinstance(value, float) or (
            isinstance(value, int) and not flag and abs(value) < 2**63
        )
        text = isinstance(value, str | list | dict) if of_data else isinstance(value, str)
        if key in ("model", "data"):
            fits = isinstance(value, str)
        elif key == "kind":
            fits = isinstance(value, str | None)
        elif key in ("seed", "data/test", "test/images"):
            fits = number and isinstance(value, int)
        elif key in ("data/mutation", "data/fraction"):
            fits = number
        else:
            fits = value is None or number or ((text or flag) and not measured)
        if not fits:
            raise GdlError(f"{path} is damaged: {key:.40} is {value!s:.40}.")
    return metrics


def unit(metrics: dict[str, Any]) -> tuple[str, str]:
    """Return key and name of the unit of a likelihood: bits/dim, or nats on continuous data."""
    bits = metrics.get("data/levels") is not None or any(k.endswith("/bpd") for k in metrics)
    return bits_of(metrics) if bits else ("nll", "nats")


def bits_of(metrics: dict[str, Any]) -> tuple[str, str]:
    """Return key and name of bits/dim, or of what pairs of texts have in their place."""
    key = "bits_per_symbol" if metrics.get("kind") == GIVEN_SOURCE else "bpd"
    return key, TERMS[key]


def data_name(metrics: dict[str, Any], *more: str) -> str:
    """Return the name of the data with what a number on them depends on, e.g. the binarization.

    >>> data_name({"data": "binarized_mnist", "data/binarization": "static"})
    'binarized_mnist (static)'
    """
    kinds = ("data/binarization", "data/target", "data/source")
    details = [str(metrics[k]) for k in kinds if k in metrics]
    if metrics.get("data/bits", 8) != 8:
        details.append(f"{metrics['data/bits']} bits")
    if metrics.get("data/mutation"):
        details.append(f"mutation {metrics['data/mutation']:g}")
    if metrics.get("data/fraction", 1) != 1:
        details.append(f"fraction {metrics['data/fraction']:g} of the training images")
    if metrics.get("data/verified") is False:
        details.append("copy with other checksums")
    details += more
    name = str(metrics.get("data", "?"))
    return f"{name} ({', '.join(details)})" if details else name


def data_identity(metrics: dict[str, Any]) -> str:
    """Return a text that is equal for results on the same data, and for no others.

    Of results older than digests it says what their data are called.
    """
    if "data/digest" not in metrics:
        return data_name(metrics, UNKNOWN)
    values = [metrics.get(key) for key in IDENTITY]
    # appended, so that the titles of all other data stay what they were
    values += [metrics["data/mutation"]] if metrics.get("data/mutation") else []
    values += [GIVEN_SOURCE] if metrics.get("kind") == GIVEN_SOURCE else []
    return json.dumps(values, default=str)


def data_title(metrics: dict[str, Any]) -> str:
    """Return `data_name` with the start of a digest of the identity, or with "unknown data"."""
    if "data/digest" not in metrics:
        return data_identity(metrics)
    digest = hashlib.sha256(data_identity(metrics).encode()).hexdigest()
    return data_name(metrics, digest[:6])


def about_data(metrics: dict[str, Any]) -> str:
    """Return shape, levels and sizes of the splits; empty where they are not known."""
    if "data/digest" not in metrics:
        return ""
    shape, levels = metrics.get("data/shape"), metrics.get("data/levels")
    size = "x".join(map(str, shape)) if isinstance(shape, list) else str(shape)
    size += " numbers" if levels is None else ""
    values = "continuous" if levels is None else f"{levels} levels"
    splits = ((metrics.get(f"data/{s}"), s) for s in ("train", "val", "test"))
    sizes = ", ".join(f"{n:,} {s}" if isinstance(n, int) else f"? {s}" for n, s in splits)
    return f"{size}, {values}; {sizes}"


def limits(trainer: dict[str, Any]) -> str:
    """Return the settings of a trainer that leave out a part of the data that a result is of.

    >>> limits({"limit_test_batches": 1, "overfit_batches": 0.0})
    'limit_test_batches=1'
    """
    found = {k: trainer[k] for k in ("fast_dev_run", "overfit_batches") if trainer.get(k)}
    tested = trainer.get("limit_test_batches")
    if tested is not None and not (isinstance(tested, float) and tested == 1):  # 1 is one batch
        found["limit_test_batches"] = tested
    return " ".join(f"{k}={v}" for k, v in found.items())


def not_whole(metrics: dict[str, Any], trainer: dict[str, Any] | None = None) -> str | None:
    """Return why a run is no result, because it used a part of the data; None if it is one.

    Args:
        metrics: The content of metrics.json.
        trainer: The settings of the trainer, asked too because metrics.json of old runs lacks them.
    """
    if found := metrics.get("limited_by") or limits(trainer or {}):
        return f"it ran with {found}"
    tested, whole = metrics.get("test/images"), metrics.get("data/test")
    if tested is not None and whole is not None and tested < whole:
        return f"it was tested on {tested:,} of {whole:,} images"
    return None
