"""A progress bar that appears only when a loop takes long."""

import sys
import time
from collections.abc import Iterator

from rich.progress import Progress

__all__ = ["counted"]


def counted(total: int, label: str, patience: float = 2.0) -> Iterator[int]:
    """Yield 0, ..., total - 1; on a terminal, show a progress bar if the loop takes long.

    Args:
        total: Number of steps.
        label: Text beside the bar.
        patience: Seconds before the bar appears.
    """
    bar = Progress(transient=True, disable=not sys.stdout.isatty())
    task, start = bar.add_task(label, total=total), time.monotonic()
    try:
        for i in range(total):
            yield i
            if not bar.disable and time.monotonic() - start > patience:
                bar.start()
                bar.update(task, completed=i + 1)
    finally:
        bar.stop()
