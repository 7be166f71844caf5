"""Logs the tables of compare.py to Weights & Biases, beside the runs that they compare."""

import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from gdl.comparison.entries import Entry
from gdl.comparison.tables import ComparisonTable
from gdl.errors import GdlError
from gdl.files import for_shell
from gdl.runs.config import read_config
from gdl.runs.directory import Run, wandb_facts
from gdl.tracking.wandb_service import resolve_mode, start_run, stop_service, sync_dir

__all__ = ["log_tables", "place"]

SECONDS = 60
"""The longest time to wait for W&B."""


def log_tables(tables: Sequence[ComparisonTable], entries: Sequence[Entry], folder: Path) -> str:
    """Log each table as a W&B Table, and all tables together as one artifact.

    They belong to a new W&B run of job type "compare", in the project of the compared runs and, if
    these have one group, in their group.

    Args:
        tables: The tables.
        entries: The compared runs.
        folder: The folder in which W&B writes its folder wandb/.

    Returns:
        The address of the W&B run, or the command that uploads an offline run, or that it is disabled.

    Raises:
        GdlError: W&B fails, or does not answer in time.
    """
    import wandb

    if (mode := resolve_mode("auto")) == "disabled":
        return "disabled, so nothing was written"
    paths = [path for e in entries for path in e.paths]
    shared = place(paths)
    group = shared["group"]
    limit = threading.Timer(SECONDS, stop_service)  # without its process, calls of W&B raise
    limit.daemon = True
    limit.start()
    try:
        defaults = {
            "dir": str(folder),
            **{**shared, "project": shared["project"] or "gdl"},
            "job_type": "compare",
            "name": f"compare {group}" if group else "compare",
        }
        run = start_run(mode, {"config": {"runs": [str(path) for path in paths]}}, defaults)
        # comparisons of the same sweep become versions of one artifact
        name = re.sub(r"[^\w.-]+", "_", f"comparison-{group}" if group else "comparison")[:128]
        artifact = wandb.Artifact(name, "comparison")
        for table in tables:
            # two objects: W&B would make one of them a reference to the other
            run.log(
                {
                    f"comparison/{table.data}": wandb.Table(
                        [*table.columns], [[*row] for row in table.rows]
                    )
                },
                step=0,
            )
            artifact.add(wandb.Table([*table.columns], [[*row] for row in table.rows]), table.data)
        run.log_artifact(artifact)
        where = f"offline; wandb sync {for_shell(d)}" if (d := sync_dir(run)) else str(run.url)
        run.finish()
    except Exception as e:  # W&B may raise anything; the tables have been printed already
        stop_service()
        reason = (str(e).splitlines() or [""])[0].rstrip(".") or type(e).__name__
        raise GdlError(
            f"W&B did not take the tables ({reason}): WANDB_MODE=offline keeps it on disk."
        ) from e
    finally:
        limit.cancel()
    return where


def place(paths: Iterable[Path]) -> dict[str, str | None]:
    """Return the W&B group, project and entity that all runs share; None where they differ."""
    found: dict[str, set[str | None]] = {"group": set(), "project": set(), "entity": set()}
    for path in paths:
        config, used = read_config(path), wandb_facts(Run(path).record_facts())
        named = {key: used.get(key) or config.get(f"logger.wandb.{key}") for key in found}
        named["group"] = named["group"] or Run(path).sweep
        for key, value in named.items():
            found[key].add(value)
    return {key: values.pop() if len(values) == 1 else None for key, values in found.items()}
