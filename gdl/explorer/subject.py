"""What a page is about: a run with its model, and the test images that it shows."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gdl.capabilities import HasLatents, HasPosterior
from gdl.data.base import ImageData
from gdl.families.base import GenerativeModel
from gdl.runs.directory import Run

__all__ = ["Subject"]


class Subject:
    """A run, its model, its data, and the codes of test images, computed once for all sections.

    Args:
        run: The run.
        model: Its model, in eval mode.
        data: Its data.
        points: Test images that are encoded, at most.
    """

    def __init__(
        self, run: Run, model: GenerativeModel, data: ImageData, points: int = 1000
    ) -> None:
        self.run, self.model, self.data, self.points = run, model, data, points

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The numbers of the run's metrics.json."""
        return self.run.metrics()

    @cached_property
    def images(self) -> Tensor:
        """The first test images (N, C, H, W) uint8, or points (N, D)."""
        return self.data.images("test")[: self.points]

    @cached_property
    def labels(self) -> Tensor | None:
        """Their labels (N,), -1 where unknown; None for data without labels."""
        labels = self.data.labels("test")
        return None if labels is None else labels[: self.points]

    @cached_property
    @torch.inference_mode()
    def posterior(self) -> tuple[Tensor, Tensor | None]:
        """Codes (N, M) of the images, and of a VAE the log standard deviations; codes are its means."""
        x, y = self.images, self.labels if self.model.num_classes else None
        found: list[tuple[Tensor, ...]] = []
        for i in range(0, len(x), 500):
            given = (x,) if y is None else (x, y)
            part = [v[i : i + 500].to(self.model.device) for v in given]
            if isinstance(self.model, HasPosterior):
                found.append(tuple(self.model.posterior(*part)))
            else:
                assert isinstance(self.model, HasLatents)
                found.append((self.model.encode(*part),))
        parts = [torch.cat(p).flatten(1).float().cpu() for p in zip(*found, strict=True)]
        return parts[0], parts[1] if len(parts) > 1 else None
