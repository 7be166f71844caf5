"""The contract of every model, and the one place where nats become bits/dim."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from gdl.errors import GdlError
from gdl.families.step import SharedStep

__all__ = ["GenerativeModel"]


class GenerativeModel(SharedStep):
    """A distribution over discrete images x in {0, ..., levels - 1}^(C, H, W).

    A model writes `loss`. Everything else follows: the same terms are logged at all three stages as
    `{stage}/{term}`, and `{stage}/bpd` where there is a likelihood.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have; None for continuous data, whose density
            has no bits/dim.
        optimizer: Called with the parameters, returns the optimizer.
        scheduler: Called with the optimizer and `total_steps`, returns a per-step scheduler.

    Raises:
        GdlError: The data are continuous and the model is not.
    """

    nll_kind: str | None = "exact"
    """What "nll" is: "exact", "bound", "iwae-K", or None for a model without a likelihood."""

    takes_continuous = False
    """Whether the model is a density of real vectors too."""

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(optimizer, scheduler)
        if levels is None and not self.takes_continuous:
            raise GdlError(
                f"{type(self).__name__} models images of integers, but these data are continuous: "
                "use model=realnvp or model=nice."
            )
        self.shape, self.levels = tuple(shape), levels
        self.num_dims = math.prod(self.shape)

    @abstractmethod
    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """Return the terms of images x (B, C, H, W) uint8, each of shape (B,), in nats.

        "loss" is minimised; "nll", if there is one, is -log p(x) or an upper bound of it and becomes
        bits/dim.
        """

    def scale(self, x: Tensor) -> Tensor:
        """Map integer images to [-1, 1] in the model's dtype, as input of a network."""
        assert self.levels is not None
        return x.to(self.dtype) * (2 / (self.levels - 1)) - 1

    def bits_per_dim(self, nats: float, dims: int | None = None) -> float:
        """Convert nats to bits per dimension, nats / (D ln 2); by default with D = C H W."""
        return nats / ((dims or self.num_dims) * math.log(2))

    def derived(self, means: dict[str, float]) -> dict[str, float]:
        """Return the means of terms, in nats, with "bpd" where there is a likelihood of integers."""
        if "nll" in means and self.levels is not None:
            return {**means, "bpd": self.bits_per_dim(means["nll"])}
        return means

    def compile_networks(self) -> None:
        """Compile the child networks in place; the names of the parameters stay as they are."""
        for child in self.children():
            if any(True for _ in child.parameters()):
                child.compile()
