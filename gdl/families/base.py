"""The base class of every model, and the one place where nats become bits/dim."""

import contextlib
import inspect
import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from gdl.errors import GdlError
from gdl.families.step import SharedStep
from gdl.serialization import build_model, describe, read_checkpoint, trusted

__all__ = ["GenerativeModel"]


class GenerativeModel(SharedStep):
    """A distribution over discrete images x in {0, ..., levels - 1}^(C, H, W).

    A subclass writes `loss`, which returns terms per image. Training, validation and test log the
    means of the same terms as `{stage}/{term}`, and `{stage}/bpd` where there is a likelihood.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have; None for continuous data, whose density
            has no bits/dim.

    Raises:
        GdlError: The data are continuous and the model is not.
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

    def __init__(self, shape: Sequence[int], levels: int | None) -> None:
        super().__init__()
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
    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """Return the terms of images x (B, C, H, W) uint8, each of shape (B,), in nats.

        "loss" is minimised. "nll", if the model has a likelihood, is -log p(x) or an upper bound of
        it, and is converted to bits/dim.
        """

    def nll(self, x: Tensor, k: int = 1) -> Tensor:
        """Return -log p(x) (B,) in nats, exact or an upper bound, as `nll_kind` says.

        Args:
            x: Images (B, C, H, W) uint8, or vectors (B, D).
            k: Number of samples per image for a bound, which is tighter with more; an exact density
                ignores it.

        Raises:
            GdlError: The model has no density.
        """
        if self.nll_kind is None:
            raise GdlError(f"{type(self).__name__} has no density, so it has no nll: use a VAE.")
        return self.loss(x)["nll"]

    def scale(self, x: Tensor) -> Tensor:
        """Map integer images to [-1, 1] in the model's dtype, as the input of a network."""
        assert self.levels is not None
        return x.to(self.dtype) * (2 / (self.levels - 1)) - 1

    def bits_per_dim(self, nats: float, dims: int | None = None) -> float:
        """Convert nats per image to bits per dimension, nats / (D ln 2), by default with D = C H W."""
        return nats / ((dims or self.num_dims) * math.log(2))

    def derived(self, means: dict[str, float]) -> dict[str, float]:
        """Add "bpd" to the mean terms, in nats, of a model with a likelihood of integers."""
        if "nll" in means and self.levels is not None:
            return {**means, "bpd": self.bits_per_dim(means["nll"])}
        return means

    def compile_networks(self) -> None:
        """Compile the child networks in place; the names of the parameters stay as they are."""
        for child in self.children():
            if any(True for _ in child.parameters()):
                child.compile()
