"""An estimate of the duration of a training run, made before it starts."""

import copy
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import lightning.pytorch as pl
import torch
from torch import Tensor

from gdl.capabilities import InitializesFromData
from gdl.data.base import ImageData
from gdl.families.base import GenerativeModel
from gdl.serialization import read_checkpoint
from gdl.training.progress_line import duration

__all__ = ["Preview", "images_to_train", "preview"]

FEW = 2
"""Images of the first step, which says how long a step of a batch will take."""
SLOW = 2.0
"""Seconds of a step that are too many to take several of them before the training."""


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
    """Time a few training steps on a copy of the model, of a few images where a step takes long.

    Args:
        model: The model; neither it nor the random numbers of training are changed.
        data: The data set; its first training images are the batch.
        device: Device of the training.
        images: Number of training images, summed over all epochs; None if it is not known.
        done: Number of them that an interrupted training has seen.
        steps: Number of timed steps; the first third of them is a warm-up and is not counted.
        limit: Seconds after which the training ends in any case.
    """
    x = data.images("train")[: data.batch_size].to(device)
    labels = data.labels("train") if model.num_classes else None
    y = None if labels is None else labels[: len(x)].to(device)
    with torch.random.fork_rng():
        twin = copy.deepcopy(model).to(device).train()
        if isinstance(twin, InitializesFromData):
            twin.initialize(x[:FEW])
        step = _training_step(twin, device, y)
        few = x[:FEW]
        step(few)
        seconds = step(few)
        if seconds / len(few) * len(x) < SLOW:
            times = [step(x) for _ in range(steps)]
            seconds = statistics.median(times[steps // 3 :])
        elif len(x) > len(more := x[: 4 * FEW]):
            # a step takes some time for the weights, and some for each image
            each = max(0.0, step(more) - seconds) / (len(more) - len(few))
            seconds += each * (len(x) - len(few))
    rate = len(x) / seconds
    params = sum(p.numel() for p in model.parameters() if p.requires_grad)
    whole = limit if images is None else min(images / rate, limit)
    if not math.isfinite(whole):
        return Preview(params, rate, None, None)
    return Preview(params, rate, whole, max(0, whole - done / rate))


def _training_step(
    model: GenerativeModel, device: torch.device, y: Tensor | None
) -> Callable[[Tensor], float]:
    """Return a function that takes a training step on images, and returns its seconds.

    Args:
        model: The model.
        device: Its device.
        y: Of a conditional model, the labels of at least as many images.
    """
    optimizer = torch.optim.Adam(model.parameters())

    def step(batch: Tensor) -> float:
        start = time.perf_counter()
        optimizer.zero_grad()
        terms = model.loss(batch) if y is None else model.loss(batch, y[: len(batch)])
        terms["loss"].mean().backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    return step


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
