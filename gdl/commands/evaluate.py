"""gdl evaluate: measure a run on its test images, e.g. run=latest measure=iwae."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdl.process import enable_garbage_collection, run_as_process
from gdl.stopping import told_to_stop  # everything else is imported where a signal is heard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from omegaconf import DictConfig

    from gdl.data.base import ImageData
    from gdl.evaluation import Host
    from gdl.families import GenerativeModel
    from gdl.runs.directory import Run

__all__ = ["evaluate", "main"]


def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Compute the numbers, merge them into the run's metrics.json and print the table.

    Numbers of a part of the test images, or of other images than the run knows, are not kept.
    """
    import sys
    import time

    from hydra.utils import instantiate

    from gdl.evaluation.combination import call
    from gdl.files import for_shell
    from gdl.memory import peak_memory
    from gdl.runs.checkpoints import open_run
    from gdl.runs.epochs import epoch_of
    from gdl.runs.links import check_links
    from gdl.runs.report import print_results

    run, model, data = open_run(cfg.run, cfg.device, data_dir=cfg.data_dir)
    synced = None
    if run.metrics().get("data/digest") in (None, data.digest()):
        unkept = None if cfg.limit is None else f"from {cfg.limit} images only"
    else:
        unkept = "the images are not those that the run was trained and tested on"
        print(f"warning: {unkept}: no number will be kept.", file=sys.stderr)
    if (epoch := epoch_of(cfg.run)) is not None:
        unkept = f"they are of the weights after epoch {epoch}"
    check_links(run.path)
    measure = instantiate(cfg.measure, _convert_="all")
    enable_garbage_collection()
    started = time.perf_counter()
    host = _host(cfg, run, data, measure)
    metrics = call(measure, model, data, host, cfg.limit)
    if metrics:
        metrics["evaluate_seconds"] = time.perf_counter() - started
    if metrics and unkept is None:
        run.merge_metrics(metrics)
        run.note_command()
        synced = _to_wandb(run)
    if metrics:
        known = run.metrics()
        print_results((known if "model" in known else _facts(model, data) | known) | metrics)
        where = for_shell(run.metrics_json) if unkept is None else f"not kept, {unkept}"
        print(f"{'metrics:':<12}{where}")
    for path in host.written:
        print(f"{'written:':<12}{for_shell(path)}")
    print(f"{'memory:':<12}at most {peak_memory() / 1e9:.2f} GB")
    if synced is not None:
        print(f"{'W&B:':<12}offline; wandb sync {for_shell(synced)}")
    return metrics


def _facts(model: GenerativeModel, data: ImageData) -> dict[str, Any]:
    """Return what the metrics.json of a run says beside numbers, for a checkpoint that stands alone."""
    return {
        "model": type(model).__name__,
        "data": type(data).__name__,
        "kind": model.nll_kind,
        **{f"data/{k}": v for k, v in (data.facts() | data.identity()).items()},
        "params": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def _host(cfg: DictConfig, run: Run, data: ImageData, measure: Callable[..., Any]) -> Host:
    """Return what opens other data and other runs for the measure, and says where its files go.

    Raises:
        GdlError: Other data, or a place for files, are named, and the measure has no use for them.
    """
    from pathlib import Path

    from gdl.commands.other_data import open_data
    from gdl.errors import GdlError
    from gdl.evaluation import Host
    from gdl.evaluation.combination import takes_host
    from gdl.evaluation.outliers import SYNTHETIC
    from gdl.runs.checkpoints import load_run_model, open_run

    asked = [key for key, value in (("data", cfg.other_data), ("out", cfg.out)) if value]
    for key in asked if not takes_host(measure) else ():
        raise GdlError(
            f"{key}= is for measure=ood and measure=scores, which look at other data or write files; "
            f"the measures chosen do not: leave out {key}=, or choose one of these."
        )
    out = Path(cfg.out).expanduser() if cfg.out else None
    table = out if out is not None and out.suffix else None
    folder = run.images if out is None else out if table is None else out.parent
    folders = [Path(cfg.config_dir)] if cfg.config_dir else []
    others = {str(name): [*map(str, options)] for name, *options in cfg.other_data or ()}
    return Host(
        folder,
        [*others],
        table,
        lambda name: open_data(name, others.get(name, []), data, folders, [*SYNTHETIC]),
        lambda spec: load_run_model(spec, cfg.device)[1],
        lambda spec: open_run(spec, cfg.device, data_dir=cfg.data_dir)[1:],
        lambda: data,
    )


def _to_wandb(run: Run) -> Path | None:
    """Add all numbers of a run to its W&B run, if it has one; return what to sync."""
    record = run.record_facts()
    if "wandb" not in record and not (run.path / "wandb").is_dir():
        return None  # it was logged elsewhere
    from gdl.runs.directory import wandb_facts
    from gdl.tracking import add_numbers

    if "id" not in (facts := wandb_facts(record)):
        return None
    numbers = {k: v for k, v in run.metrics().items() if isinstance(v, int | float)}
    return add_numbers(run.path, facts, numbers)


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command

        run_command(evaluate, "evaluate")


if __name__ == "__main__":
    run_as_process(main)
