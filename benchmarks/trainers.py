"""An epoch of the MNIST VAE in gdl and in pythae's trainer, each as its own users run it.

    pip install pythae==0.1.2
    python benchmarks/trainers.py [epochs=4] [rounds=3] [threads=1,2] [record=FILE]

The same networks (784-200-200-50), batch size, optimizer and binary images, on a CPU. gdl runs as
`train.py` does, with CSV logs and progress line, pythae with its progress bars. They take turns, each
in a process of its own; the first epoch of each is a warm-up.
"""

import importlib.util
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from itertools import pairwise
from typing import Any

import torch
from overhead import measure
from records import Table, options
from timing import Spread
from torch import Tensor, nn

from gdl.data.mnist import BinarizedMNIST


def layers(*sizes: int) -> list[nn.Module]:
    """Return linear layers with SiLU between them."""
    found = [m for i, o in pairwise(sizes) for m in (nn.Linear(i, o), nn.SiLU())]
    return found[:-1]


def pythae(epochs: int, threads: int) -> list[float]:
    """Return the milliseconds of the epochs of pythae's trainer."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(*layers(784, 200, 200, 100))

        def forward(self, x: Tensor) -> Any:
            mean, log_var = self.net(x.flatten(1)).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(*layers(50, 200, 200, 784), nn.Sigmoid())

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.net(z).unflatten(1, (1, 28, 28)))

    class Clock(TrainingCallback):
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_epoch_begin(self, training_config: Any, **_: Any) -> None:
            self.times.append(time.perf_counter())

    torch.set_num_threads(threads)
    logging.disable()
    data = BinarizedMNIST(
        shape=(1, 28, 28), levels=2, data_dir=os.environ["GDL_DATA_DIR"], verify=False
    )
    data.setup("fit")
    images = (data.images("train").float() / 255).bernoulli()
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=50, reconstruction_loss="bce")
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            VAE(config, encoder=Encoder(), decoder=Decoder()),
            BaseDataset(images, torch.zeros(len(images))),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=epochs,
                per_device_train_batch_size=128,
                learning_rate=1e-3,
                no_cuda=True,
            ),
            callbacks=[clock],
        )
        trainer.train()
        clock.times.append(time.perf_counter())
    return [1e3 * (b - a) for a, b in zip(clock.times[1:-1], clock.times[2:], strict=True)]


def ours(epochs: int, threads: int) -> list[float]:
    """Return the milliseconds of the epochs of gdl."""
    return list(measure(epochs, "csv", threads)[1].values)


def main() -> None:
    """Print a row for each number of threads."""
    if importlib.util.find_spec("pythae") is None:
        sys.exit("error: pythae is not installed: pip install pythae==0.1.2.")
    chosen = options()
    epochs, rounds = int(chosen.get("epochs", 4)), int(chosen.get("rounds", 3))
    table = Table(
        "Speed: an epoch of the MNIST VAE in gdl and in pythae, milliseconds",
        *("threads", "gdl", "pythae", "pythae / gdl"),
    )
    for threads in map(int, chosen.get("threads", "1,2").split(",")):
        times: dict[str, list[float]] = {"gdl": [], "pythae": []}
        for _ in range(rounds):
            for name, run in (("gdl", ours), ("pythae", pythae)):
                with multiprocessing.get_context("spawn").Pool(1) as process:
                    times[name] += process.apply(run, (epochs, threads))
        gdl, other = (Spread.of(t) for t in times.values())
        table.add(threads, gdl, other, other.over(gdl))
    table.save()


if __name__ == "__main__":
    main()
