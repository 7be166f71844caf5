"""What a model has learned to say of images, as vectors, and their principal components."""

from dataclasses import dataclass

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import HasFeatures, Incapable, Invertible, refuse
from gdl.families.base import GenerativeModel

__all__ = ["Components", "pixels", "principal_components", "refuse_features", "vectors"]


def refuse_features(model: GenerativeModel, asked: str) -> HasFeatures:
    """Return the model, if it is one of images that describes them by vectors.

    Args:
        model: The model.
        asked: Beginning of the sentence, e.g. "task=embed asks for latents or hidden states".

    Raises:
        Incapable: It is not.
    """
    if model.levels is None:
        raise Incapable(f"{asked} of images, and this run is on vectors: use data=mnist.")
    if not isinstance(model, HasFeatures):
        refuse(model, HasFeatures, asked, models)
    return model


def needs_label(model: GenerativeModel) -> bool:
    """Return whether a model looks at the label of an image to describe it."""
    return bool(model.num_classes and not model.label_dropout) and not isinstance(
        model, Invertible
    )


@torch.inference_mode()
def vectors(
    model: HasFeatures, x: Tensor, y: Tensor | None = None, batch_size: int = 500
) -> Tensor:
    """Return what a model says of images, (N, F) float32 on the CPU.

    Args:
        model: The model, in eval mode.
        x: Images (N, C, H, W) uint8.
        y: Labels (N,), of a model that takes some.
        batch_size: Images at a time.
    """
    device = next(model.parameters()).device  # pyright: ignore[reportAttributeAccessIssue]
    parts = [x.split(batch_size)] + ([] if y is None else [y.split(batch_size)])
    found = [
        model.features(*(t.to(device) for t in part)).float().cpu()
        for part in zip(*parts, strict=True)
    ]
    return torch.cat(found)


def pixels(x: Tensor, levels: int) -> Tensor:
    """Return images (N, C, H, W) uint8 as vectors (N, D) float32 in [0, 1], on the CPU."""
    return x.flatten(1).cpu().float() / (levels - 1)


@dataclass
class Components:
    """The principal components of vectors of D numbers: their mean (D,) and M directions (M, D)."""

    mean: Tensor
    directions: Tensor

    def encode(self, v: Tensor) -> Tensor:
        """Return the coordinates (N, M) of vectors (N, D)."""
        return (v - self.mean) @ self.directions.T

    def decode(self, z: Tensor) -> Tensor:
        """Return the vectors (N, D) of coordinates (N, M)."""
        return z @ self.directions + self.mean


def principal_components(v: Tensor, count: int) -> Components:
    """Return the first components of vectors (N, D), whose plane has the least squared error.

    They are exact up to D = 1,000, and from a random projection with a fixed seed beyond.
    """
    from sklearn.decomposition import PCA  # scikit-learn takes a second to import

    pca = PCA(count, random_state=0).fit(v.numpy())
    return Components(*(torch.from_numpy(t).float() for t in (pca.mean_, pca.components_)))
