"""What is printed at the end: the table of results and where the files are."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gdl.files import for_shell
from gdl.runs.collapse import active_latents, unused_latents
from gdl.runs.directory import Run
from gdl.runs.features_table import features_table
from gdl.runs.foreign_table import foreign_table
from gdl.runs.metrics import KINDS, bits_of, data_title, name_of, not_whole
from gdl.runs.restoration_table import restoration_tables
from gdl.runs.translation_table import translation_tables

__all__ = ["likelihoods", "number_texts", "print_numbers", "print_paths", "print_results"]


def print_results(metrics: dict[str, Any]) -> None:
    """Print the content of metrics.json as a table; each number says what kind it is.

    A warning follows where the numbers are no result, or the model does not use its latents.
    """
    table = Table(title=Text(f"{metrics.get('model', '?')} on {data_title(metrics)}"))
    for column in (f"test {bits_of(metrics)[1]}", "nats", "kind", "parameters", "seconds"):
        table.add_column(column, justify="right")
    size = f"{metrics['params']:,}" if "params" in metrics else "-"
    seconds = f"{metrics['train_seconds']:.0f}" if "train_seconds" in metrics else "-"
    for bpd, nll, kind in likelihoods(metrics):
        table.add_row(bpd, nll, kind, size, seconds)
    if metrics.get("kind") is None:
        table.add_row("-", "-", "no density (an autoencoder)", size, seconds)
    Console(markup=False, emoji=False).print(table)
    print_numbers(metrics)
    more_tables = (features_table(metrics), foreign_table(metrics), *translation_tables(metrics))
    for more in more_tables:
        if more is not None:
            Console(markup=False, emoji=False).print(more)
    for restored, won, sentence in restoration_tables(metrics):
        Console(markup=False, emoji=False).print(restored)
        if sentence:
            print(sentence if won else f"warning: {sentence}", file=None if won else sys.stderr)
    if part := not_whole(metrics):
        text = f"no result, because {part}; gdl compare lists it in no table"
        print(f"warning: {text}.", file=sys.stderr)
    if unused := unused_latents(metrics):
        print(f"warning: {unused}", file=sys.stderr)
    elif some := active_latents(metrics):
        print(f"note: {some}", file=sys.stderr)


def print_numbers(metrics: dict[str, Any]) -> None:
    """Print those of the numbers that the table has no column for, with what they are, in one line."""
    if texts := number_texts(metrics):
        Console(markup=False, emoji=False).print(" · ".join(texts))


def number_texts(metrics: dict[str, Any]) -> list[str]:
    """Return those of the numbers that are no likelihoods, each with what it is."""
    errors = {k for k in metrics if k.endswith("_se")}
    extra = {k: v for k, v in metrics.items() if name_of(k) and k not in errors}
    if not extra.get("skipped_steps"):
        extra.pop("skipped_steps", None)
    return [_number(metrics, k) for k in extra]


def _number(metrics: dict[str, Any], key: str) -> str:
    value, error = metrics[key], metrics.get(f"{key}_se")
    text = f"{value:,}" if isinstance(value, int) else _shown(value, ".4g")
    return f"{name_of(key)} {text}{_plus_minus(error, '.2g')}"


def _shown(value: float | None, form: str) -> str:
    """Return a number as text; in files null stands for a number that is NaN or infinite."""
    return "not finite" if value is None or not math.isfinite(value) else f"{value:{form}}"


def _plus_minus(error: float | None, form: str) -> str:
    return "" if error is None or not math.isfinite(error) else f" ± {error:{form}}"


def likelihoods(m: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return bits/dim, nats and kind, as texts, of each likelihood in the content of metrics.json.

    Of pairs of texts they are bits per symbol of the targets, see `gdl.runs.metrics.bits_of`.
    """
    rows, (unit, _) = [], bits_of(m)
    for key in sorted(k for k in m if k == "test/nll" or k.startswith(KINDS)):
        if not key.endswith("/nll"):
            continue
        kind = m.get("kind", "?") if key == "test/nll" else key.removesuffix("/nll")
        prefix = "test" if key == "test/nll" else kind
        error, bpd = m.get(f"{prefix}/nll_se"), m.get(f"{prefix}/{unit}")
        digits = 2 if f"{prefix}/{unit}" in m else 4  # continuous data have few dimensions
        bits = _shown(bpd, ".4f") if f"{prefix}/{unit}" in m else "-"
        nats = _shown(m[key], f".{digits}f") + _plus_minus(error, f".{digits}f")
        rows.append((bits, nats, str(kind)))
    return rows


def print_paths(run: Run, checkpoint: Path, offline: Sequence[Path | None]) -> None:
    """Print where run, checkpoint and sample grid are, and how to sync an offline W&B run."""
    lines: list[tuple[str, str]] = [("run", for_shell(run.path))]
    if checkpoint.exists():
        lines.append(("checkpoint", for_shell(checkpoint)))
    if (samples := run.newest_samples()) is not None:
        lines.append(("samples", for_shell(samples)))
    for d in (d for d in offline if d is not None):
        # an interrupted run has a directory for each time it was started
        several = len(list(d.parent.glob("offline-run-*"))) > 1
        parts = f"{for_shell(d.parent)}/offline-run-*" if several else for_shell(d)
        lines.append(("W&B", f"offline; wandb sync {parts}"))
    for name, value in lines:
        print(f"{name + ':':<12}{value}")
