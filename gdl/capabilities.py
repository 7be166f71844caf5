"""What a model can do, as protocols: a model has a capability or lacks it, there are no stubs."""

from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["HasLatents", "HasLogProb", "InitializesFromData", "Samples", "SamplesGiven"]


@runtime_checkable
class HasLogProb(Protocol):
    """Scores images exactly."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) in nats, shape (B,), of images (B, C, H, W) uint8."""
        ...


@runtime_checkable
class Samples(Protocol):
    """Draws images from the model's distribution."""

    def sample(
        self, n: int, *, seed: int = 0, temperature: float = 1.0, mean: bool = False
    ) -> Tensor:
        """Return n images (n, C, H, W) in [0, levels - 1]; image k depends on (seed, k) only."""
        ...


@runtime_checkable
class SamplesGiven(Protocol):
    """Completes images of which some pixels are known."""

    def sample_given(
        self, n: int, given: Tensor, known: Tensor, *, seed: int = 0, temperature: float = 1.0
    ) -> Tensor:
        """Return n completions (n, C, H, W) uint8; completion k depends on (seed, k) only.

        `given` is an image (C, H, W) uint8 or one for each completion (n, C, H, W), and the boolean
        mask `known` likewise.
        """
        ...


@runtime_checkable
class HasLatents(Protocol):
    """Maps images to latents and back, without randomness."""

    latent_shape: tuple[int, ...]

    def encode(self, x: Tensor) -> Tensor:
        """Return the latents (B, *latent_shape) of images (B, C, H, W) uint8."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Return images (B, C, H, W), floating point in [0, levels - 1], of latents."""
        ...


@runtime_checkable
class InitializesFromData(Protocol):
    """Sets some parameters from training images, once, before the first step."""

    def initialize(self, x: Tensor) -> None:
        """Initialise from training images (N, C, H, W) uint8."""
        ...
