"""gdl evaluate: measure a run on its test images, e.g. run=latest k=5000."""

from omegaconf import DictConfig

from gdl.commands.entry import run_command

__all__ = ["evaluate", "main"]


def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Compute the numbers, merge them into the run's metrics.json and print the table."""
    import time

    from gdl.capabilities import HasLogProb
    from gdl.evaluation.distances import autoencoder_distances
    from gdl.evaluation.evaluate import evaluate
    from gdl.runs.checkpoints import open_run
    from gdl.runs.report import print_results

    run, model, data = open_run(cfg.run, cfg.device)
    started = time.perf_counter()
    test = data.images("test")[: cfg.limit]
    options = (cfg.k, cfg.batch_size, cfg.seed, cfg.dequantization_samples, cfg.known)
    truth = data if isinstance(data, HasLogProb) else None
    metrics = evaluate(model, test, *options, truth)
    if cfg.distances:
        name = f"cnn-{model.config['choices']['data']}"
        metrics |= autoencoder_distances(model, data, name, cfg.seed)
    metrics["evaluate_seconds"] = time.perf_counter() - started
    if cfg.limit is None:
        run.merge_metrics(metrics)
        run.note_command()
    print_results(run.metrics() | metrics)
    where = run.metrics_json if cfg.limit is None else f"not kept, from {cfg.limit} images only"
    print(f"{'metrics:':<12}{where}")
    return metrics


def main() -> None:
    """Run the command on the arguments of this process."""
    run_command(evaluate, "evaluate")


if __name__ == "__main__":
    main()
