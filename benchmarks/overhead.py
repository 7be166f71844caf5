"""What Lightning, logging and the progress line cost: an epoch of a VAE against a bare loop.

    python benchmarks/overhead.py [epochs=12] [logger=wandb] [threads=1,2] [record=FILE]

Both train the same model (784-200-200-50, batch 128, CPU) with the same optimizer on the same
in-memory images, in one process, an epoch of each in turn. The ratio is that of paired epochs. gdl's
side runs through train.py's own configuration: trainer, callbacks, loggers, progress line.
"""

import copy
import multiprocessing
import sys
import tempfile
import time

import hydra
import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig
from records import Table, options
from timing import Spread

from gdl.commands.conf import CONF, register_resolvers
from gdl.families.base import GenerativeModel
from gdl.training import run as training


class Interleave(Callback):
    """Before each of Lightning's epochs, run and time one of the bare loop."""

    def __init__(self, model: GenerativeModel, images: torch.Tensor, batch_size: int) -> None:
        self.model, self.images, self.batch_size = model.train(), images, batch_size
        self.optimizer = model.configure_optimizers()
        self.bare: list[float] = []
        self.lightning: list[float] = []
        self.start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run the bare epoch, then start the clock of Lightning's."""
        self.bare.append(self.bare_epoch())
        self.start = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock: the bare loop does not validate either."""
        self.lightning.append(time.perf_counter() - self.start)

    def bare_epoch(self) -> float:
        """Return the seconds of a hand-written epoch."""
        start = time.perf_counter()
        total = 0.0
        for index in torch.randperm(len(self.images)).split(self.batch_size):
            x = torch.bernoulli(self.images[index].float() / 255).to(torch.uint8)
            self.optimizer.zero_grad()
            loss = self.model.loss(x)["loss"].mean()
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return time.perf_counter() - start


def measure(epochs: int, logger: str, threads: int) -> tuple[Spread, Spread]:
    """Return the milliseconds of the epochs of the bare loop and of gdl."""
    overrides = ["model=vae", "data=binarized_mnist", "model.latent_dim=50", f"logger={logger}"]
    overrides += ["data.batch_size=128", f"trainer.max_epochs={epochs}"]
    overrides += ["callbacks.images.every_n_epochs=0"]
    times: list[Spread] = []
    torch.set_num_threads(threads)
    register_resolvers()
    with tempfile.TemporaryDirectory() as folder:

        @hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
        def run(cfg: DictConfig) -> None:
            job = training.prepare(cfg)
            twin = copy.deepcopy(job.model)
            clock = Interleave(twin, job.data._splits["train"][0], job.data.batch_size)
            job.trainer.callbacks.append(clock)  # pyright: ignore[reportAttributeAccessIssue]
            training.fit(job)
            # the first epoch of each is a warm-up
            times.extend(Spread.of(1e3 * s for s in t[1:]) for t in (clock.bare, clock.lightning))

        sys.argv = ["overhead.py", *overrides, f"hydra.run.dir={folder}"]
        run()
    bare, ours = times
    return bare, ours


def main() -> None:
    """Print a row for each number of threads."""
    chosen = options()
    epochs, logger = int(chosen.get("epochs", 12)), chosen.get("logger", "wandb")
    table = Table(
        "Speed: an epoch of the MNIST VAE against a bare loop, milliseconds",
        "threads",
        "bare loop",
        f"gdl, logger={logger}",
        "gdl / bare loop (aim 1.05)",
    )
    for threads in map(int, chosen.get("threads", "1,2").split(",")):
        # W&B's service, which the first training starts, would belong to it
        with multiprocessing.get_context("spawn").Pool(1) as process:
            bare, ours = process.apply(measure, (epochs, logger, threads))
        table.add(threads, bare, ours, ours.over(bare))
    table.save()


if __name__ == "__main__":
    main()
