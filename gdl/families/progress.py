"""A progress bar for loops that turn out to be long."""

import sys
import time
from collections.abc import Iterator

from rich.progress import Progress

__all__ = ["counted"]


def counted(total: int, label: str, patience: float = 2.0) -> Iterator[int]:
    """Count from 0 to total - 1, with a bar on a terminal.

    Args:
        total: Number of steps.
        label: What is being done.
        patience: Seconds without a bar.
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
