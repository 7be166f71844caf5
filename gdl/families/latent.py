"""What all models with latents share."""

from abc import abstractmethod

import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.families.base import GenerativeModel

__all__ = ["LatentModel"]


class LatentModel(GenerativeModel):
    """A model that maps images to latents and back, without randomness.

    A model of this family sets `latent_shape` and writes `encode` and `decode`. If it can be
    conditional, both also take labels.
    """

    latent_shape: tuple[int, ...]

    @abstractmethod
    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the latents (B, *latent_shape) of images (B, C, H, W) uint8 with labels y (B,)."""

    @abstractmethod
    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return images (B, C, H, W), floating point in [0, levels - 1], of latents and labels."""

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return decode(encode(x)), (B, C, H, W) in [0, levels - 1], of images (B, C, H, W) uint8.

        A flow returns its input, up to rounding; an autoencoder loses what its latents cannot hold.
        A conditional model decodes with the labels y (B,) that it encodes with.
        """
        if y is None:
            return self.decode(self.encode(x))
        return self.decode(self.encode(x, y), y)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the latents (B, M) as vectors, see `HasFeatures`."""
        return (self.encode(x) if y is None else self.encode(x, y)).flatten(1)

    def label_rows_of(self, n: int, y: Tensor | None) -> Tensor | None:
        """Return the rows (n,) of the parameters of labels y; None for a model without labels.

        An unknown label has a row in a model with `label_dropout`.

        Raises:
            GdlError: The model is conditional and a label is missing, or it has no labels.
        """
        if not self.num_classes:
            self.refuse_labels(y)
            return None
        if self.label_dropout:
            unknown = torch.full((n,), self.num_classes, device=self.device)
            return unknown if y is None else torch.where(y < 0, unknown, y)
        if y is None or not self._all_known(y):
            raise GdlError(
                f"This {type(self).__name__} is conditional, so it needs the label of each image: "
                "give them, or train with model.label_dropout=0.1 for one that does without."
            )
        return y

    def _all_known(self, y: Tensor) -> bool:
        """Return whether no label is unknown; in training without a look at a GPU, if possible."""
        if torch.compiler.is_exporting():  # a graph cannot look at its inputs
            return True
        return (self.training and self.all_labelled) or not bool((y < 0).any())

    def _labels_of_samples(
        self, labels: Tensor | None, indices: Tensor, seed: int
    ) -> Tensor | None:
        """Return the rows of the parameters of some samples, see `ClassLabels.drawn_labels`."""
        if labels is None:
            return None
        return self.drawn_labels(labels[indices.to(labels.device)], indices.tolist(), seed)
