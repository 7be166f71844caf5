"""An estimate of the duration of a training run, made before it starts."""

import copy
import statistics
import time
from dataclasses import dataclass

import torch

from gdl.data.base import ImageData
from gdl.families.base import GenerativeModel
from gdl.training.callbacks import duration

__all__ = ["Preview", "preview"]


@dataclass
class Preview:
    """The number of parameters, the speed and the expected duration of a training run in seconds."""

    params: int
    images_per_second: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.params:,} parameters · {self.images_per_second:,.0f} images/s in warm-up steps "
            f"· about {duration(self.seconds)} of training"
        )


def preview(
    model: GenerativeModel,
    data: ImageData,
    device: torch.device,
    images: int,
    steps: int = 6,
) -> Preview:
    """Time a few training steps on a copy of the model.

    Args:
        model: The model; it is not changed.
        data: The data set; its first training images are the batch.
        device: Device of the training.
        images: Number of training images, summed over all epochs.
        steps: Number of timed steps; the first third of them is a warm-up and is not counted.
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
    return Preview(params, rate, images / rate)
