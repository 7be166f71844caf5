"""An estimate of the duration of a training run, made before it starts."""

import copy
import math
import statistics
import time
from dataclasses import dataclass

import lightning.pytorch as pl
import torch

from gdl.data.base import ImageData
from gdl.families.base import GenerativeModel
from gdl.serialization import read_checkpoint
from gdl.training.callbacks import duration

__all__ = ["Preview", "images_to_train", "preview"]


@dataclass
class Preview:
    """The number of parameters, the speed and the expected duration of a training run in seconds."""

    params: int
    images_per_second: float
    seconds: float | None
    """Of the whole training; None if nothing ends it."""
    seconds_left: float | None
    """Of what a resumed training has yet to do."""

    def __str__(self) -> str:
        speed = (
            f"{self.params:,} parameters · {self.images_per_second:,.0f} images/s in warm-up steps"
        )
        if self.seconds is None or self.seconds_left is None:
            return speed
        if self.seconds_left == self.seconds:
            return f"{speed} · about {duration(self.seconds)} of training"
        left, whole = duration(self.seconds_left), duration(self.seconds)
        return f"{speed} · about {left} of training left, of {whole}"


def preview(
    model: GenerativeModel,
    data: ImageData,
    device: torch.device,
    images: int | None,
    done: int = 0,
    steps: int = 6,
    limit: float = math.inf,
) -> Preview:
    """Time a few training steps on a copy of the model.

    Args:
        model: The model; it is not changed.
        data: The data set; its first training images are the batch.
        device: Device of the training.
        images: Number of training images, summed over all epochs; None if it is not known.
        done: Number of them that an interrupted training has seen.
        steps: Number of timed steps; the first third of them is a warm-up and is not counted.
        limit: Seconds after which the training ends in any case.
    """
    twin = copy.deepcopy(model).to(device).train()
    batch = data.images("train")[: data.batch_size].to(device)
    optimizer = torch.optim.Adam(twin.parameters())
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        twin.loss(batch)["loss"].mean().backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    rate = len(batch) / statistics.median(times[steps // 3 :])
    params = sum(p.numel() for p in model.parameters() if p.requires_grad)
    seconds = limit if images is None else min(images / rate, limit)
    if not math.isfinite(seconds):
        return Preview(params, rate, None, None)
    return Preview(params, rate, seconds, max(0, seconds - done / rate))


def images_to_train(
    trainer: pl.Trainer, data: ImageData, resume_from: str | None
) -> tuple[int | None, int]:
    """Return how many images a training sees in all, and how many of them it has seen.

    Args:
        trainer: Its limits count; the first number is None if only time ends the training.
        data: The data set.
        resume_from: The checkpoint of an interrupted training, if it is one.
    """
    in_step = data.batch_size * trainer.accumulate_grad_batches
    in_epoch = len(data.images("train"))
    part = trainer.limit_train_batches  # a number of batches, or a fraction of them
    in_epoch = (
        min(in_epoch, part * data.batch_size) if isinstance(part, int) else int(part * in_epoch)
    )
    ends = []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        ends.append(in_epoch * trainer.max_epochs)
    if trainer.max_steps >= 0:
        ends.append(trainer.max_steps * in_step)
    done = 0 if resume_from is None else read_checkpoint(resume_from)["global_step"] * in_step
    return min(ends, default=None), done
