"""Autoencoder: Hinton & Salakhutdinov, 2006, "Reducing the dimensionality of data".

Science 313(5786); the full title goes on "with neural networks". A deterministic code and its
reconstruction. It has no density, hence no bits/dim.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from gdl.families.latent import LatentModel
from gdl.nn.mlp import MLPDecoder, MLPEncoder

__all__ = ["Autoencoder"]


class Autoencoder(LatentModel):
    """An encoder and a decoder, trained on the squared error summed over pixels in [0, 1].

    It is not a distribution, so it reports no nll. Latents drawn from N(0, I) decode to nothing
    meaningful, in contrast to a VAE.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
        latent_dim: Number of latents M.
        encoder: Called with the shape and M; returns a network from images to codes.
        decoder: Called with M and the shape; returns a network from codes to images.
    """

    nll_kind = None

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        latent_dim: int = 16,
        encoder: Callable[..., nn.Module] = MLPEncoder,
        decoder: Callable[..., nn.Module] = MLPDecoder,
    ) -> None:
        super().__init__(shape, levels)
        self.latent_shape = (latent_dim,)
        self.encoder = encoder(self.shape, latent_dim)
        self.decoder = decoder(latent_dim, self.shape)

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """Return "loss", the squared error summed over pixels, and "mse", its mean; each (B,)."""
        y = self.decoder(self.encoder(self.scale(x))).to(self.dtype)
        # networks see pixels in [-1, 1], the error is measured in [0, 1]
        error = (0.5 * (y - self.scale(x))).square().flatten(1).sum(1)
        return {"loss": error, "mse": error / self.num_dims}

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes (B, M) of images (B, C, H, W) uint8."""
        return self.encoder(self.scale(x)).to(self.dtype)

    def decode(self, z: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [0, levels - 1] of codes (B, M)."""
        assert self.levels is not None
        y = self.decoder(z).to(self.dtype)
        return ((y + 1) * ((self.levels - 1) / 2)).clamp(0, self.levels - 1)
