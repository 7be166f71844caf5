"""Make pictures with a trained model: python sample.py run=latest task=interpolate."""

from omegaconf import DictConfig

from gdl import cli


def sample(cfg: DictConfig) -> list[str]:
    """Run the task and write its images as PNG, and as GIF where movement says more."""
    from pathlib import Path

    from hydra.utils import instantiate

    from gdl.checkpoints import open_run
    from gdl.plots import save_result

    run, model, data = open_run(cfg.run, cfg.device)
    task = instantiate(cfg.task, _convert_="all")
    folder = Path(cfg.out) if cfg.out else run.images
    written = []
    for name, images in task(model, data.images("test")).items():
        written += save_result(images, folder, name, model.levels)
    for path in written:
        print(path)
    return [str(path) for path in written]


if __name__ == "__main__":
    cli.main(sample, "sample")
