"""What all models with latents share."""

from abc import abstractmethod

from torch import Tensor

from gdl.families.base import GenerativeModel

__all__ = ["LatentModel"]


class LatentModel(GenerativeModel):
    """A model that maps images to latents and back, without randomness.

    A model of this family sets `latent_shape` and writes `encode` and `decode`.
    """

    latent_shape: tuple[int, ...]

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Return the latents (B, *latent_shape) of images (B, C, H, W) uint8."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """Return images (B, C, H, W), floating point in [0, levels - 1], of latents."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return decode(encode(x)), (B, C, H, W) in [0, levels - 1], of images (B, C, H, W) uint8.

        A flow returns its input, up to rounding; an autoencoder loses what its latents cannot hold.
        """
        return self.decode(self.encode(x))
