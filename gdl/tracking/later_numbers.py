"""Numbers that are measured after training, for the same W&B run."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gdl.tracking.wandb_logger import DetachedWandb, close, offline_dir, open_wandb_logger

__all__ = ["add_numbers"]


def add_numbers(
    save_dir: Path, facts: Mapping[str, Any], numbers: Mapping[str, Any]
) -> Path | None:
    """Add numbers to the summary of an earlier W&B run, offline too.

    If W&B fails, a warning is printed; the numbers are in metrics.json.

    Args:
        save_dir: The run directory.
        facts: What continues the W&B run, see `DetachedWandb.facts`.
        numbers: All final numbers, as a summary is replaced as a whole.

    Returns:
        The directory to pass to `wandb sync`; None where W&B is online or disabled.
    """
    try:
        logger = open_wandb_logger(str(save_dir), **facts)
    except Exception as e:
        print(f"warning: W&B failed ({e}); metrics.json has the numbers.", file=sys.stderr)
        return None
    if not isinstance(logger, DetachedWandb):
        return None
    directory = offline_dir(logger)
    logger.log_summary(numbers)
    close([logger])
    return directory
