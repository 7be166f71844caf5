"""What the tasks on latents share: the check that there are some, and decoding them in a grid."""

from torch import Tensor

from gdl import models
from gdl.capabilities import HasLatents, refuse
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel

__all__ = ["check_images", "decode_grid", "with_latents"]


def check_images(model: GenerativeModel, task: str) -> None:
    """Check that a model is one of images.

    Raises:
        GdlError: It is one of vectors.
    """
    if model.levels is None:
        raise GdlError(f"task={task} draws images, and this run is on vectors: use task=density.")


def with_latents(model: GenerativeModel, task: str) -> HasLatents:
    """Return the model, if it is one of images and has latents.

    Raises:
        GdlError: It is one of vectors, or it has no latents; the message names models that do.
    """
    check_images(model, task)
    if not isinstance(model, HasLatents):
        refuse(model, HasLatents, f"task={task} asks for latents", models)
    return model


def decode_grid(latents: HasLatents, walk: Tensor) -> Tensor:
    """Return the images (rows, columns, C, H, W) of latents (rows, columns, ...)."""
    return latents.decode(walk.flatten(0, 1)).unflatten(0, walk.shape[:2])
