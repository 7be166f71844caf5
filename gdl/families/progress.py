"""A progress bar that appears only when a loop takes long."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.progress import Progress

__all__ = ["Counter"]


class Counter:
    """A progress bar on a terminal, for a loop that may take long.

    Args:
        total: Number of steps.
        label: Text beside the bar.
        patience: Seconds before the bar appears.
    """

    def __init__(self, total: int, label: str, patience: float = 2.0) -> None:
        self._bar = Progress(transient=True, disable=not sys.stdout.isatty())
        self._task = self._bar.add_task(label, total=total)
        self._appears = time.monotonic() + patience

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def show(self, done: int) -> None:
        """Show that so many steps are done."""
        if not self._bar.disable and time.monotonic() > self._appears:
            self._bar.start()
            self._bar.update(self._task, completed=done)
