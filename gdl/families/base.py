"""The base class of every model, and the one place where nats become bits/dim."""

import contextlib
import inspect
import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.families.step import SharedStep
from gdl.serialization import build_model, describe, read_checkpoint, trusted

__all__ = ["GenerativeModel"]


class GenerativeModel(SharedStep):
    """A distribution over discrete images x in {0, ..., levels - 1}^(C, H, W), perhaps given a label y.

    A subclass writes `loss`, which returns terms per image. Training, validation and test log the
    means of the same terms as `{stage}/{term}`, and `{stage}/bpd` where there is a likelihood.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have; None for continuous data, whose density
            has no bits/dim.
        num_classes: Number of labels of a conditional model p(x | y), see `ClassLabels`; 0 for p(x).
        label_dropout: Probability that a label is left out in training, see `ClassLabels`.

    Raises:
        GdlError: The data are continuous and the model is not, or an argument is out of range.
    """

    nll_kind: str | None = "exact"
    """The kind of "nll": "exact", "bound", "iwae-K", or None for a model without a likelihood."""

    takes_continuous = False
    """Whether the model can also be a density of real vectors (levels=None)."""

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the arguments, so that a checkpoint can say how its model was built."""
        model = super().__new__(cls)
        # copying calls __new__ without arguments; wrong arguments are reported by __init__
        with contextlib.suppress(TypeError):
            bound = inspect.signature(cls).bind_partial(*args, **kwargs)
            bound.apply_defaults()
            object.__setattr__(model, "_arguments", {**bound.arguments})
        return model

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None,
        num_classes: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        super().__init__(num_classes, label_dropout)
        if levels is None and not self.takes_continuous:
            raise GdlError(
                f"{type(self).__name__} models images of integers, but these data are continuous: "
                "use model=realnvp, model=nice or model=gaussian."
            )
        self.shape, self.levels = tuple(shape), levels
        self.num_dims = math.prod(self.shape)

    @classmethod
    def load_from_checkpoint(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, checkpoint_path: str | Path, map_location: Any = "cpu", trust: Iterable[str] = ()
    ) -> Self:
        """Return the model of a checkpoint, in eval mode.

        Args:
            checkpoint_path: A file that train.py, or any Lightning Trainer, has written.
            map_location: The device.
            trust: Packages outside of gdl whose classes the checkpoint may use, e.g. ["mylab"].

        Raises:
            GdlError: The file cannot be used, or holds another kind of model.
        """
        content = read_checkpoint(checkpoint_path, map_location)
        model = build_model(content["gdl_config"]["model"], trusted(trust), checkpoint_path)
        if not isinstance(model, cls):
            raise GdlError(
                f"{checkpoint_path} holds a {type(model).__name__}, not a {cls.__name__}: use "
                f"{type(model).__name__}.load_from_checkpoint."
            )
        model.load_weights(content["state_dict"], checkpoint_path)
        return model.to(map_location).eval()

    def load_weights(self, state: dict[str, Tensor], path: str | Path) -> None:
        """Load the weights of a checkpoint.

        Args:
            state: The state dictionary.
            path: The file, for the message.

        Raises:
            GdlError: The weights do not fit this model.
        """
        try:
            self.load_state_dict(state)
        except RuntimeError as e:
            raise GdlError(
                f"The weights in {path} do not fit the model it names; it was probably written by "
                "another version of gdl: check out the commit in the run's run.json."
            ) from e

    def description(self) -> dict[str, Any]:
        """Return the model's class and arguments as plain data, see `gdl.serialization.build`.

        An argument that cannot be plain data, e.g. a lambda, is refused with a GdlError.
        """
        named = dict(self._arguments)
        others = named.pop("kwargs", {})
        return describe(type(self)) | {"_partial_": False} | describe(named | others)

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return the terms of images x (B, C, H, W) uint8, each of shape (B,), in nats.

        "loss" is minimised. "nll", if the model has a likelihood, is -log p(x) or an upper bound of
        it, and is converted to bits/dim. A model without labels may leave out y.

        Args:
            x: Images.
            y: Of a conditional model, the labels (B,) int64 in {0, ..., num_classes - 1}, or -1 where
                a label is unknown; then the terms are of p(x | y), and of p(x) where it is unknown.
                Without y they are of p(x). See `ClassLabels.over_labels`.
        """

    def nll(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> Tensor:
        """Return -log p(x) (B,) in nats, exact or an upper bound, as `nll_kind` says.

        With labels y it is -log p(x | y), which is no likelihood of x alone. Without, a conditional
        model sums over them: -log sum_y p(y) p(x | y), see `log_class_prior`; a model that was trained
        with `label_dropout` has parameters for p(x).

        Args:
            x: Images (B, C, H, W) uint8, or vectors (B, D).
            y: Labels (B,), for a conditional model only; -1 where unknown.
            k: Number of samples per image for a bound, which is tighter with more; an exact density
                ignores it.

        Raises:
            GdlError: The model has no density, or no labels but some are given.
        """
        if self.nll_kind is None:
            raise GdlError(f"{type(self).__name__} has no density, so it has no nll: use a VAE.")
        if isinstance(y, int):
            raise GdlError(f"nll takes labels second: give a number of samples as k={y}.")
        self.refuse_labels(y)
        return (self.loss(x) if y is None else self.loss(x, y))["nll"]

    def class_nll(self, x: Tensor, k: int = 1) -> Tensor:
        """Return -log p(x | y) (B, num_classes) in nats for every label y, or upper bounds of it.

        Args:
            x: Images (B, C, H, W) uint8.
            k: See `nll`.

        Raises:
            GdlError: The model has no labels, or no density.
        """
        if not self.num_classes:
            raise GdlError(
                f"This {type(self).__name__} has no labels: train one with model.conditional=true."
            )
        return torch.stack([self.nll(x, y, k=k) for y in self.each_label(x)], 1)

    def scale(self, x: Tensor) -> Tensor:
        """Map integer images to [-1, 1] in the model's dtype, as the input of a network."""
        assert self.levels is not None
        return x.to(self.dtype) * (2 / (self.levels - 1)) - 1

    def bits_per_dim(self, nats: float, dims: int | None = None) -> float:
        """Convert nats per image to bits per dimension, nats / (D ln 2), by default with D = C H W."""
        return nats / ((dims or self.num_dims) * math.log(2))

    def derived(self, means: dict[str, float]) -> dict[str, float]:
        """Add "bpd" to the mean terms, in nats, of a model with a likelihood of integers."""
        if self.levels is None:
            return means
        bits = {
            name.replace("nll", "bpd"): self.bits_per_dim(value)
            for name, value in means.items()
            if name in ("nll", "nll_given_label")
        }
        return {**means, **bits}

    def compile_networks(self) -> None:
        """Compile the child networks in place; the names of the parameters stay as they are."""
        for child in self.children():
            if any(True for _ in child.parameters()):
                child.compile()
