"""Train a model on a data set: python train.py model=vae data=mnist trainer=gpu."""

from omegaconf import DictConfig

from gdl import cli


def train(cfg: DictConfig) -> float | None:
    """Fit, test, write metrics.json; return the validation value that checkpoints are chosen by."""
    from gdl import training  # heavy imports only once the configuration is known to be good

    job = training.prepare(cfg)
    training.show_cost(job)
    training.fit(job)
    return training.finish(job)


if __name__ == "__main__":
    cli.main(train, "train")
