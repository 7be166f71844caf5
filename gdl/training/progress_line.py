"""The line that tells how far a training has come."""

import math
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar, Timer

from gdl.runs.metrics import TERMS

__all__ = ["ProgressLine", "duration", "seconds_left"]


class ProgressLine(ProgressBar):
    """A progress bar of one line of text: epoch, bits/dim, images/s, time left.

    On a terminal the line is rewritten in place, five times a second. Elsewhere a new line is printed
    every `every_seconds` seconds.

    Args:
        every_seconds: Seconds between two lines if the output is not a terminal.
    """

    def __init__(self, every_seconds: float = 30.0) -> None:
        super().__init__()
        self._enabled = True
        self._every_seconds = every_seconds
        self._live = sys.stdout.isatty()
        self._last = self._start = 0.0
        self._first_step = 0

    def disable(self) -> None:
        """Print nothing; Lightning calls this on ranks other than 0."""
        self._enabled = False

    def enable(self) -> None:
        """Print again; Lightning calls this."""
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start, self._first_step = time.monotonic(), trainer.global_step
        self._last = self._start

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Print the line again if enough time has passed."""
        if time.monotonic() - self._last >= (0.2 if self._live else self._every_seconds):
            self._show(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the last state and keep it on the terminal."""
        self._show(trainer)
        if self._live and self._enabled:
            print(flush=True)

    def line(self, trainer: pl.Trainer) -> str:
        """Return the text of the line."""
        model = trainer.lightning_module
        latest: Mapping[str, float] = getattr(model, "train_metrics", {})
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs
        parts = [f"epoch {epoch}"]
        if epochs is not None and epochs >= 0:
            parts = [f"epoch {min(epoch, epochs)}/{epochs}"]
        bits = ("bpd", "bpd_given_label", "bits_per_symbol")
        unit = next((u for u in bits if f"train/{u}" in latest), "loss")
        if f"train/{unit}" in latest:
            parts.append(f"train {latest[f'train/{unit}']:.4g} {TERMS[unit]}")
        if f"val/{unit}" in trainer.callback_metrics:
            parts.append(f"val {float(trainer.callback_metrics[f'val/{unit}']):.4g}")
        if "images_per_second" in latest:
            parts.append(f"{latest['images_per_second']:,.0f} images/s")
        if latest.get("train/skipped_steps"):
            parts.append(f"{latest['train/skipped_steps']:.0f} steps skipped")
        done = trainer.global_step - self._first_step
        total = trainer.estimated_stepping_batches - self._first_step
        if done > 0:
            left = (time.monotonic() - self._start) / done * max(0, total - done)
            left = min(left, seconds_left(trainer))
            parts += [f"{duration(left)} left"] if math.isfinite(left) else []
        return " · ".join(parts)

    def _show(self, trainer: pl.Trainer) -> None:
        self._last = time.monotonic()
        if not self._enabled:
            return
        text = self.line(trainer)
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print("\r" + text[:width].ljust(width), end="", flush=True)
        else:
            print(text, flush=True)


def seconds_left(trainer: pl.Trainer) -> float:
    """Return the seconds until `trainer.max_time` ends the training; infinity without it."""
    callbacks = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    left = [c.time_remaining() for c in callbacks if isinstance(c, Timer)]
    return max(0.0, min((s for s in left if s is not None), default=math.inf))


def duration(seconds: float) -> str:
    """Return a duration as text.

    >>> duration(8), duration(185), duration(7800)
    ('8 s', '3 min 05 s', '2 h 10 min')
    """
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    return f"{s // 3600} h {s % 3600 // 60:02d} min"
