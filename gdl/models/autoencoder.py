"""Autoencoder: Hinton & Salakhutdinov, 2006, "Reducing the dimensionality of data".

Science 313(5786); the full title goes on "with neural networks". A deterministic code and its
reconstruction. It has no density, hence no bits/dim.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from gdl.families.latent import LatentModel
from gdl.nn.labels import LabelledCodes, LabelledImages
from gdl.nn.mlp import MLPDecoder, MLPEncoder

__all__ = ["Autoencoder"]


class Autoencoder(LatentModel):
    """An encoder and a decoder, trained on the squared error summed over pixels in [0, 1].

    It is not a distribution, so it reports no nll. Latents drawn from N(0, I) decode to nothing
    meaningful, in contrast to a VAE. A conditional one has the label as an input of encoder and
    decoder, see `gdl.nn.labels`, so that the code need not hold it.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
        latent_dim: Number of latents M.
        encoder: Called with the shape and M; returns a network from images to codes.
        decoder: Called with M and the shape; returns a network from codes to images.
        num_classes: Number of labels of a conditional model, see `ClassLabels`.
        label_dropout: See `ClassLabels`.
    """

    nll_kind = None

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        latent_dim: int = 16,
        encoder: Callable[..., nn.Module] = MLPEncoder,
        decoder: Callable[..., nn.Module] = MLPDecoder,
        num_classes: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        super().__init__(shape, levels, num_classes, label_dropout)
        self.latent_shape = (latent_dim,)
        self.encoder = encoder(self.shape, latent_dim)
        self.label_input, self.label_code = None, None
        if num_classes:
            self.label_input = LabelledImages(self.label_rows, self.shape)
            self.label_code = LabelledCodes(self.label_rows)
            latent_dim += self.label_code.size
        self.decoder = decoder(latent_dim, self.shape)

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return "loss", the squared error summed over pixels, and "mse", its mean; each (B,)."""
        if self.label_dropout:
            y = self._rows_or_left_out(x, y)
        output = self._output(self.encode(x, y), y)
        # networks see pixels in [-1, 1], the error is measured in [0, 1]
        error = (0.5 * (output - self.scale(x))).square().flatten(1).sum(1)
        return {"loss": error, "mse": error / self.num_dims}

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the codes (B, M) of images (B, C, H, W) uint8 with labels y (B,)."""
        inputs, rows = self.scale(x), self.label_rows_of(len(x), y)
        if self.label_input is not None:
            inputs = self.label_input(inputs, rows)
        return self.encoder(inputs).to(self.dtype)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return images (B, C, H, W) in [0, levels - 1] of codes (B, M) and labels y (B,)."""
        assert self.levels is not None
        return ((self._output(z, y) + 1) * ((self.levels - 1) / 2)).clamp(0, self.levels - 1)

    def _output(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Return images (B, C, H, W) in the networks' unit, about [-1, 1]."""
        rows = self.label_rows_of(len(z), y)
        if self.label_code is not None:
            z = self.label_code(z, rows)
        return self.decoder(z).to(self.dtype)
