"""gdl evaluate: measure a run on its test images, e.g. run=latest measure=iwae."""

from omegaconf import DictConfig

from gdl.commands.entry import run_command

__all__ = ["evaluate", "main"]


def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Compute the numbers, merge them into the run's metrics.json and print the table."""
    import time

    from hydra.utils import instantiate

    from gdl.files import for_shell
    from gdl.runs.checkpoints import open_run
    from gdl.runs.report import print_results

    run, model, data = open_run(cfg.run, cfg.device, data_dir=cfg.data_dir)
    measure = instantiate(cfg.measure, _convert_="all")
    started = time.perf_counter()
    metrics = measure(model, data, limit=cfg.limit)
    metrics["evaluate_seconds"] = time.perf_counter() - started
    if cfg.limit is None:
        run.merge_metrics(metrics)
        run.note_command()
    print_results(run.metrics() | metrics)
    where = (
        for_shell(run.metrics_json)
        if cfg.limit is None
        else f"not kept, from {cfg.limit} images only"
    )
    print(f"{'metrics:':<12}{where}")
    return metrics


def main() -> None:
    """Run the command on the arguments of this process."""
    run_command(evaluate, "evaluate")


if __name__ == "__main__":
    main()
