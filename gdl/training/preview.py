"""What a run will cost, before it starts."""

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
    """Size of the model and expected time of its training."""

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
    """Time a few steps, forwards and backwards, on a copy of the model.

    Args:
        model: The model; it stays as it is.
        data: Its first training images are the batch.
        device: Where training will run.
        images: Training images of all epochs together.
        steps: Timed steps; the first third is a warm-up.
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
