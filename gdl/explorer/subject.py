"""What a page is about: a run with its model, and the test images that it shows."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gdl.capabilities import HasLatents, HasPosterior
from gdl.data.base import ImageData
from gdl.errors import GdlError
from gdl.explorer.epochs import Epoch
from gdl.families.base import GenerativeModel
from gdl.runs.directory import Run

__all__ = ["Subject", "short"]

NAME = 100
"""Characters of the name of a class, at most: a page names each class several times."""


class Subject:
    """A run, its model, its data, and the codes of test images, computed once for all sections.

    Args:
        run: The run.
        model: Its model, in eval mode.
        data: Its data.
        points: Test images that are encoded, at most.
        seed: Of their choice, and of the projections of the map.
        epochs: The weights of single epochs that the page shows beside its own.
        tested: Whether the numbers of the run are those of this model, as they are of the best
            checkpoint; else the page has none.
    """

    def __init__(
        self,
        run: Run,
        model: GenerativeModel,
        data: ImageData,
        points: int = 1000,
        seed: int = 0,
        epochs: Sequence[Epoch] = (),
        tested: bool = True,
    ) -> None:
        self.run, self.model, self.data, self.points, self.seed = run, model, data, points, seed
        self.epochs, self.tested = epochs, tested

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The numbers of the run's metrics.json, if they are of this model."""
        return self.run.metrics() if self.tested else {}

    @cached_property
    def chosen(self) -> Tensor:
        """Which test images, in their order: a random choice, as a folder has them class by class."""
        usable = self._usable()
        among = torch.Generator().manual_seed(self.seed)
        order = usable[torch.randperm(len(usable), generator=among)]
        return order[: self.points].sort().values

    def _usable(self) -> Tensor:
        """Return the indices of the test images that the model can encode, as it may need a label.

        Raises:
            GdlError: There are none.
        """
        labels = self.data.labels("test")
        if not self.model.num_classes or self.model.label_dropout:
            return torch.arange(len(self.data.images("test")))
        if labels is None or not bool((labels >= 0).any()):
            raise GdlError(
                f"This {type(self.model).__name__} is conditional, so it needs the label of each "
                "image, and the test images have none: use data with labels, or train with "
                "model.label_dropout=0.1."
            )
        return (labels >= 0).nonzero()[:, 0].cpu()

    @cached_property
    def images(self) -> Tensor:
        """The chosen test images (N, C, H, W) uint8, or points (N, D)."""
        return self.data.images("test")[self.chosen]

    @cached_property
    def labels(self) -> Tensor | None:
        """Their labels (N,), -1 where unknown; None for data without labels."""
        labels = self.data.labels("test")
        return None if labels is None else labels[self.chosen]

    @cached_property
    def class_names(self) -> list[str]:
        """Names of the classes by label, as in the data, else numbers; [] for data without labels."""
        count = self.model.num_classes or self.data.num_classes
        names = self.model.config.get("class_names") or self.data.class_names or ()
        if isinstance(names, str) or not isinstance(names, Sequence):
            names = ()  # of a stranger's checkpoint
        names = [short(str(name), NAME) for name in names[:count]]
        return [*names, *map(str, range(len(names), count))]

    @cached_property
    @torch.inference_mode()
    def posterior(self) -> tuple[Tensor, Tensor | None]:
        """Codes (N, M) of the images, and of a VAE the log standard deviations; codes are its means."""
        x, y = self.images, self.labels if self.model.num_classes else None
        found: list[tuple[Tensor, ...]] = []
        given = (x,) if y is None else (x, y)
        for i in range(0, max(1, len(x)), 500):  # of no images an empty batch
            part = [v[i : i + 500].to(self.model.device) for v in given]
            if isinstance(self.model, HasPosterior):
                found.append(tuple(self.model.posterior(*part)))
            else:
                assert isinstance(self.model, HasLatents)
                found.append((self.model.encode(*part),))
        parts = [torch.cat(p).flatten(1).float().cpu() for p in zip(*found, strict=True)]
        return parts[0], parts[1] if len(parts) > 1 else None


def short(text: str, most: int) -> str:
    """Return a text of at most so many characters; of a longer one the start.

    >>> short("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"
