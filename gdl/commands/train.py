"""gdl train: train a model on a data set, e.g. model=vae data=mnist trainer=gpu."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gdl.commands.entry import run_command
from gdl.commands.train_log import is_first_process, recorded, train_log
from gdl.runs.directory import Run

__all__ = ["main", "train"]


def train(cfg: DictConfig) -> float | None:
    """Fit, test, write metrics.json; return the validation value that checkpoints are chosen by."""
    if is_first_process():
        train_log.attach(Run(HydraConfig.get().runtime.output_dir).train_log)
    from gdl.training import run  # heavy imports only once the configuration is known to be good

    training = run.prepare(cfg)
    run.show_cost(training)
    run.fit(training)
    return run.finish(training)


def main() -> None:
    """Run the command on the arguments of this process."""
    with recorded():
        run_command(train, "train")


if __name__ == "__main__":
    main()
