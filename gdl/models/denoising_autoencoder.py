"""Denoising autoencoder: Vincent et al., 2008, "Extracting and composing robust features".

ICML; the full title goes on "with denoising autoencoders". It learns to undo a corruption: noise, lost
pixels, lost colours or a lower resolution. Trained on the squared error, it tends to the mean of the
images that what is left may come from.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from gdl.capabilities import Incapable
from gdl.corruptions import Corruption, GaussianNoise, Seen, compose, consistent, first_guess
from gdl.errors import GdlError
from gdl.families.latent import LatentModel
from gdl.nn.unet import UNet
from gdl.noise import BatchNoise, SampleNoise

__all__ = ["DenoisingAutoencoder"]

FLOOR = 1e-6
"""Added to a squared error before its logarithm, so that images of 60 dB and more do not rule."""


class DenoisingAutoencoder(LatentModel):
    """A network that gives back clean images, trained on images corrupted anew at each step.

    With an encoder and a decoder the image goes through a code; such a model has latents. Otherwise a
    U-Net corrects a first guess, see `gdl.corruptions.first_guess`. What is known of the image is put
    back in both cases. Where pixels are missing, the mask of the holes is one more input channel.

    It is not a distribution, so it reports no nll.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
        corruption: What to undo, or several by name, one after the other; by default Gaussian noise.
        network: Called with the channels of its input and the shape; returns a network from images to
            corrections. A U-Net by default, if there is no encoder.
        encoder: Called with the shape of its input and M; returns a network from images to codes.
        decoder: Called with M and the shape; returns a network from codes to images.
        latent_dim: Number of latents M, of an encoder.
        objective: What is minimised: "psnr" for the mean of -PSNR, so that all images count alike,
            however hard they are; "squared" for the squared error summed over pixels.
    """

    nll_kind = None

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        corruption: Corruption | Mapping[str, Corruption] | None = None,
        network: Callable[..., nn.Module] | None = None,
        encoder: Callable[..., nn.Module] | None = None,
        decoder: Callable[..., nn.Module] | None = None,
        latent_dim: int = 64,
        objective: str = "psnr",
    ) -> None:
        super().__init__(shape, levels)
        if objective not in ("psnr", "squared"):
            raise GdlError(f"model.objective={objective} does not exist: use psnr or squared.")
        self.objective = objective
        given = {"gaussian_noise": GaussianNoise()} if corruption is None else corruption
        self.corruption = given if isinstance(given, Corruption) else compose(given)
        # images that the corruption does not suit are told here
        seen = self.corruption(torch.zeros(1, *self.shape), SampleNoise(0, [0]))
        self._masks = seen.hole is not None
        channels, height, width = self.shape
        channels += self._masks
        self.network = self.encoder = self.decoder = None
        if encoder is not None and decoder is not None:
            self.latent_shape = (latent_dim,)
            self.encoder = encoder((channels, height, width), latent_dim)
            self.decoder = decoder(latent_dim, self.shape)
        else:
            self.network = (network or UNet)(channels, self.shape)

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return "loss", see `objective`, and of images in [0, 1] "mse" and "psnr", each (B,).

        The last is the peak signal-to-noise ratio of each image in decibels, -10 log10(mse).
        """
        self.refuse_labels(y)
        assert self.levels is not None
        x = x.to(self.dtype) / (self.levels - 1)
        guess = self._guess(self.corruption(x, BatchNoise(x)))
        error = (guess - x).square().flatten(1).mean(1)
        in_decibels = self.objective == "psnr"
        loss = 10 * (error + FLOOR).log10() if in_decibels else error * self.num_dims
        mse = (guess.detach().clamp(0, 1) - x).square().flatten(1).mean(1)
        psnr = -10 * mse.clamp(min=1e-10).log10()
        return {"loss": loss, "mse": mse, "psnr": psnr}

    def restore(self, seen: Seen) -> Tensor:
        """Return restored images (B, C, H, W) in [0, 1] of what the corruption has left of them.

        With a U-Net the images may have another size than those of the training.
        """
        return self._guess(seen).clamp(0, 1)

    @property
    def takes_any_size(self) -> bool:
        """Whether `restore` takes images of another size than those of the training."""
        return self.network is not None

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the codes (B, M) of clean images (B, C, H, W) uint8.

        Raises:
            Incapable: The network has no code.
        """
        self.refuse_labels(y)
        if self.encoder is None:
            raise Incapable(NO_CODE)
        inputs = self.scale(x)
        holes = inputs.new_zeros(len(x), int(self._masks), *self.shape[1:])
        return self.encoder(torch.cat([inputs, holes], 1)).to(self.dtype)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return images (B, C, H, W) in [0, levels - 1] of codes (B, M).

        Raises:
            Incapable: The network has no code.
        """
        self.refuse_labels(y)
        if self.decoder is None:
            raise Incapable(NO_CODE)
        assert self.levels is not None
        return (self._decoded(z).clamp(0, 1)) * (self.levels - 1)

    def _guess(self, seen: Seen) -> Tensor:
        """Return restored images (B, C, H, W), which may leave [0, 1]."""
        start = first_guess(seen)
        inputs = 2 * start - 1  # about [-1, 1]
        if self._masks:
            inputs = torch.cat([inputs, seen.hole_pixels[:, :1].to(inputs)], 1)
        if self.network is not None:
            guess = start + self.network(inputs).to(self.dtype)
        else:
            assert self.encoder is not None
            guess = self._decoded(self.encoder(inputs))
        return consistent(guess, seen, self.corruption)

    def _decoded(self, z: Tensor) -> Tensor:
        assert self.decoder is not None
        return (self.decoder(z).to(self.dtype) + 1) / 2


NO_CODE = (
    "This denoising autoencoder is a U-Net, which has no code: train one with network=mlp or "
    "network=conv."
)
