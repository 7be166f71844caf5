"""Invertible maps that know their log-determinant, and the composition of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from gdl.errors import GdlError

__all__ = ["Bijection", "Chain", "DataInitialized", "initialize"]


class Bijection(nn.Module, ABC):
    """An invertible map: forward runs data -> latent, inverse runs latent -> data.

    Change of variables: log p(x) = log p(z) + log |det dz/dx|, the sum over the steps of a chain.
    """

    @property
    def compiles_as_a_whole(self) -> bool:
        """Whether a flow with this bijection is compiled as one graph, not a network at a time."""
        return False

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z and log |det dz/dx|, shape (B,) in nats, of x (B, ...)."""

    @abstractmethod
    def inverse(self, z: Tensor) -> Tensor:
        """Return x (B, ...) with forward(x) = z."""

    def layers(self) -> "list[Bijection]":
        """Return the bijections that this one is composed of, in the order of forward."""
        return [self]

    def compile_networks(self) -> None:
        """Compile the networks that this bijection itself calls, in place; most call none."""


class Chain(Bijection):
    """The composition of bijections, applied to data in the order given.

    Args:
        steps: The first one is nearest to the data.
    """

    def __init__(self, steps: Iterable[Bijection]) -> None:
        super().__init__()
        # a ModuleList does not say to a type checker what is in it
        self.steps = cast(list[Bijection], nn.ModuleList(steps))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        log_dets = []
        for step in self.steps:
            x, log_det = step(x)
            log_dets.append(log_det)
        return x, torch.stack(log_dets).sum(0) if log_dets else x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        for step in reversed(self.steps):
            z = step.inverse(z)
        return z

    def layers(self) -> list[Bijection]:
        """See `Bijection.layers`."""
        return [layer for step in self.steps for layer in step.layers()]


class DataInitialized(nn.Module):
    """A layer that sets its parameters from the first data it sees, in an explicit pass only.

    Before that pass it maps nothing, neither in training nor in evaluation: an identity in its place
    would be a worse model that looks like a good one. Whether it has been set is a buffer, so that a
    reloaded layer is not set again; `forward` looks at a Python copy of it, which costs no
    synchronisation with a GPU.
    """

    initialized: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("initialized", torch.tensor(False))
        self._is_set = self._in_pass = False
        self.register_load_state_dict_post_hook(DataInitialized.read_initialized)

    def read_initialized(self, _: Any = None) -> None:
        """Read from the buffer whether the layer has been set, after the buffer was replaced."""
        self._is_set = bool(self.initialized)

    @abstractmethod
    def set_from(self, h: Tensor) -> None:
        """Set the parameters from h, the data that `forward` is about to map."""

    @staticmethod
    def moments(h: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation (C,) over batch and pixels of h (B, C, ...).

        The deviation is at least 1e-3: a constant channel is not scaled up without limit.
        """
        flat = h.transpose(0, 1).flatten(1)
        return flat.mean(1), flat.std(1, correction=0).clamp(min=1e-3).log()

    def _see(self, h: Tensor | None = None) -> None:
        """Set the parameters, if this is the pass for it and h is what it needs.

        Raises:
            GdlError: The layer has not been set.
        """
        if self._is_set:
            return
        self.read_initialized()  # something may have written the buffer, e.g. another process
        if self._is_set:
            return
        if not self._in_pass or h is None:
            raise GdlError(
                f"{type(self).__name__} starts from data and has seen none yet: call "
                "model.initialize(training_images), or load a checkpoint, before anything else."
            )
        self.set_from(h.detach())
        self.initialized.fill_(True)
        self._is_set = True


@torch.no_grad()
def initialize(bijection: nn.Module, x: Tensor) -> None:
    """Let every data-initialised layer see x once, in order, on its way through the bijection."""
    layers = [m for m in bijection.modules() if isinstance(m, DataInitialized)]
    for layer in layers:
        layer._in_pass = True
    try:
        bijection(x)
    finally:
        for layer in layers:
            layer._in_pass = False
