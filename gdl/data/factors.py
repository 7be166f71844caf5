"""Images of every combination of some known factors, such as shape, scale and position."""

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from gdl.data.arguments import whole_number
from gdl.data.base import kept_images
from gdl.data.cache import Entry, create_array, open_array
from gdl.data.splits import SPLITS
from gdl.data.stored import StoredData, progress_bar, say
from gdl.errors import GdlError
from gdl.noise import mix_seed

__all__ = ["FactorData", "HasFactors", "factors_of", "index_of"]

AT_ONCE = 1024
"""Images that are drawn together: few, so that they stay in the cache of the processor."""

VERSION = 1
"""Changes when the same combination is drawn in another way, so that old images are not used."""


@runtime_checkable
class HasFactors(Protocol):
    """Data whose images are a function of factors that each have a few values."""

    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]

    def factors(self, split: str) -> Tensor:
        """Return the factors (N, F) int64 of the images of a split; factor f is below its size."""
        ...

    def render(self, factors: Tensor) -> Tensor:
        """Return the images (B, C, H, W) uint8 of factors (B, F)."""
        ...


def factors_of(index: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the factors (N, F) int64 of combinations (N,), of which the last factor varies fastest."""
    return torch.stack(torch.unravel_index(index, tuple(sizes)), -1)


def index_of(factors: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the number (N,) int64 of each combination of factors (N, F); undoes `factors_of`."""
    strides = torch.tensor([prod(sizes[f + 1 :]) for f in range(len(sizes))])
    return (factors * strides.to(factors.device)).sum(-1)


class FactorData(StoredData):
    """Drawn images of combinations of factors, each combination once.

    The test and the validation images are a random choice of all combinations, the same for every
    `fraction`; the training images are the others, or a part of them. The images are drawn once, and
    kept in the cache, from which they are mapped into memory.

    Args:
        num_val: Number of validation images.
        num_test: Number of test images.
        split_seed: Seed of the random choice.
        label: The factor whose value is the label of an image; None for data without labels.
        **kwargs: See `ImageData`.

    Raises:
        GdlError: An argument is out of range.
    """

    factor_names: tuple[str, ...] = ()
    factor_sizes: tuple[int, ...] = ()
    value_names: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Names of the values of a factor, where they have some."""

    loads_fraction = True

    def __init__(
        self,
        num_val: int = 5000,
        num_test: int = 10_000,
        split_seed: int = 0,
        label: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_val = whole_number("data.num_val", num_val, 1)
        self.num_test = whole_number("data.num_test", num_test, 1)
        self.split_seed = whole_number("data.split_seed", split_seed, largest=2**63 - 1)
        total = prod(self.factor_sizes)
        if num_val + num_test >= total:
            raise GdlError(
                f"data.num_val and data.num_test are together {num_val + num_test:,}, and there are "
                f"{total:,} images: set smaller numbers, so that some are left for training."
            )
        if label is not None and label not in self.factor_names:
            names = ", ".join(self.factor_names)
            raise GdlError(
                f"data.label must be null or one of the factors {names}, got {label!r}."
            )
        self.label = label
        if label is not None:
            size = self.factor_sizes[self.factor_names.index(label)]
            names = self.value_names.get(label)
            self.class_names = names or tuple(f"{label} {i}" for i in range(size))
        self._chosen: dict[str, Tensor] | None = None

    @abstractmethod
    def draw(self, factors: Tensor) -> Tensor:
        """Return the images (B, C, H, W) uint8 of factors (B, F) int64, which are in range."""

    def render(self, factors: Tensor) -> Tensor:
        """Return the images (B, C, H, W) uint8 of factors (B, F).

        Raises:
            GdlError: They are no such factors.
        """
        shown = "x".join(map(str, self.factor_sizes))
        fits = factors.ndim == 2 and factors.shape[1] == len(self.factor_sizes)
        if not fits or factors.is_floating_point():
            raise GdlError(
                f"Factors are whole numbers of shape (B, {len(self.factor_sizes)}), got "
                f"{factors.dtype} of shape {tuple(factors.shape)}."
            )
        if bool(((factors < 0) | (factors >= torch.tensor(self.factor_sizes))).any()):
            raise GdlError(f"Factors are numbered from 0 on, below {shown}: {self.factor_names}.")
        parts = [self.draw(part) for part in factors.long().split(AT_ONCE)]
        return torch.cat(parts) if parts else torch.zeros(0, *self.shape, dtype=torch.uint8)

    def factors(self, split: str) -> Tensor:
        """Return the factors (N, F) int64 of the images of a split, in their order."""
        if split not in SPLITS:
            raise GdlError(f"A split is one of {', '.join(SPLITS)}, got {split!r}.")
        return factors_of(self._combinations()[split], self.factor_sizes)

    def open(self) -> Entry:
        """Return the images, which are drawn where the cache has none."""
        settings = [self.num_val, self.num_test, self.split_seed, self.fraction, self.label]
        name, (source, content) = type(self).__name__.lower(), self._source()
        return self._stored(name, [*settings, source], [VERSION, content], self._build)

    def _source(self) -> tuple[str, Any]:
        """Return where images come from, and what changes when they do."""
        return "generated", None

    def _facts(self) -> dict[str, Any]:
        """Return further facts about the images that are built."""
        return {}

    def _combinations(self) -> dict[str, Tensor]:
        """Return the number of the combination of each image (N,), by split, in rising order."""
        if self._chosen is None:
            generator = torch.Generator().manual_seed(mix_seed("factors", self.split_seed))
            order = torch.randperm(prod(self.factor_sizes), generator=generator)
            test, val, train = order.split(
                [self.num_test, self.num_val, len(order) - self.num_test - self.num_val]
            )
            train = train.sort().values
            if self.fraction < 1:
                train = train[kept_images(len(train), self.fraction)]
            parts = {"train": train, "val": val.sort().values, "test": test.sort().values}
            self._chosen = parts
        return self._chosen

    def _build(self, folder: Path) -> dict[str, Any]:
        """Write the images and labels of an entry of the cache; see `open_or_build`."""
        chosen, start = self._combinations(), time.monotonic()
        every = torch.cat([chosen[name] for name in SPLITS])
        create_array(folder / "images.npy", (len(every), *self.shape))
        target = open_array(folder / "images.npy", "r+")
        with progress_bar(f"Drawing {type(self).__name__}", len(every)) as advance:
            self._write(every, target, advance)
        if self.label is not None:
            factors = factors_of(every, self.factor_sizes)
            column = factors[:, self.factor_names.index(self.label)]
            np.save(folder / "labels.npy", column.numpy())
        facts = {"source": self._source()[0], **self._facts()}
        facts |= {"largest": (self.levels or 256) - 1, "factors": list(self.factor_names)}
        say(
            f"{type(self).__name__}: {len(every):,} images, kept in {self.cache} "
            f"({time.monotonic() - start:.0f} s, {target.nbytes / 1e9:.2g} GB)."
        )
        return {"sizes": {name: len(chosen[name]) for name in SPLITS}, "facts": facts}

    def _write(self, every: Tensor, target: np.ndarray, advance: Callable[[int], None]) -> None:
        """Write the images of combinations (N,) into an array (N, C, H, W), in their order."""
        for start in range(0, len(every), AT_ONCE):
            part = every[start : start + AT_ONCE]
            images = self.draw(factors_of(part, self.factor_sizes))
            target[start : start + len(part)] = images.numpy()
            advance(len(part))
