"""What is printed at the end: the table of results and where the files are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gdl.runs import Run

__all__ = ["BOUNDS", "data_name", "print_numbers", "print_paths", "print_results"]


def print_results(metrics: dict[str, Any]) -> None:
    """Print the content of metrics.json as a table; each number says what kind it is."""
    table = Table(title=f"{metrics.get('model', '?')} on {data_name(metrics)}")
    for column in ("test bits/dim", "nats", "kind", "parameters", "seconds"):
        table.add_column(column, justify="right")
    size = f"{metrics['params']:,}" if "params" in metrics else "-"
    seconds = f"{metrics['train_seconds']:.0f}" if "train_seconds" in metrics else "-"
    for bpd, nll, kind in _likelihoods(metrics):
        table.add_row(bpd, nll, kind, size, seconds)
    if metrics.get("kind") is None:
        table.add_row("-", "-", "no density (an autoencoder)", size, seconds)
    Console().print(table)
    print_numbers(metrics)


def print_numbers(metrics: dict[str, Any]) -> None:
    """Print those of the numbers that the table has no column for, with what they are, in one line."""
    shown = lambda k: (  # noqa: E731
        k in _EXTRA or k.startswith(("fd-", "test/mse")) or k.endswith("/effective_samples")
    )
    extra = {k: v for k, v in metrics.items() if shown(k)}
    if not extra.get("skipped_steps"):
        extra.pop("skipped_steps", None)
    if extra:
        Console().print(" · ".join(_number(metrics, k) for k in extra))


def _number(metrics: dict[str, Any], key: str) -> str:
    value, error = metrics[key], metrics.get(f"{key}_se")
    text = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f"{_EXTRA.get(key, key)} {text}" + (f" ± {error:.2g}" if error is not None else "")


_EXTRA = {
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


BOUNDS = ("iwae-", "dequant-")
"""What keys of metrics.json begin with that hold tighter bounds than the test's own; K follows."""

_KINDS = (*BOUNDS, "given-", "ordered-")


def _likelihoods(m: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    for key in sorted(k for k in m if k == "test/nll" or k.startswith(_KINDS)):
        if not key.endswith("/nll"):
            continue
        kind = m.get("kind", "?") if key == "test/nll" else key.removesuffix("/nll")
        prefix = "test" if key == "test/nll" else kind
        error, bpd = m.get(f"{prefix}/nll_se"), m.get(f"{prefix}/bpd")
        digits = 2 if bpd is not None else 4  # continuous data have few dimensions
        pm = f" ± {error:.{digits}f}" if error is not None else ""
        bits = "-" if bpd is None else f"{bpd:.4f}"
        rows.append((bits, f"{m[key]:.{digits}f}{pm}", str(kind)))
    return rows


def data_name(metrics: dict[str, Any]) -> str:
    """Return the name of the data with what a number on them depends on, e.g. the binarization."""
    name = str(metrics.get("data", "?"))
    for detail in ("data/binarization", "data/target"):
        if detail in metrics:
            name += f" ({metrics[detail]})"
    if metrics.get("data/verified") is False:
        name += " (copy with other checksums)"
    return name


def print_paths(run: Run, checkpoint: str, offline: Sequence[Path | None]) -> None:
    """Print where run, checkpoint and sample grid are, and how to sync an offline W&B run."""
    grids = sorted(run.images.glob("samples_epoch*.png"))
    lines = [("run", run.path), ("checkpoint", checkpoint or run.checkpoints / "last.ckpt")]
    if grids:
        lines.append(("samples", grids[-1]))
    for d in (d for d in offline if d is not None):
        # an interrupted run has a directory for each time it was started
        parts = d if len(list(d.parent.glob("offline-run-*"))) == 1 else d.parent / "offline-run-*"
        lines.append(("W&B", f"offline; wandb sync {parts}"))
    for name, value in lines:
        print(f"{name + ':':<12}{value}")
