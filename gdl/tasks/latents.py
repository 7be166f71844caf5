"""What tasks share: checks of a model and of options, and decoding latents in a grid."""

import math

from torch import Tensor

import gdl.models as models
from gdl.capabilities import HasLatents, refuse
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel

__all__ = ["check_images", "check_temperature", "decode_grid", "with_latents"]


def check_images(model: GenerativeModel, task: str) -> None:
    """Check that a model is one of images.

    Raises:
        GdlError: It is one of vectors.
    """
    if model.levels is None:
        raise GdlError(f"task={task} draws images, and this run is on vectors: use task=density.")


def check_temperature(temperature: float) -> None:
    """Check that a temperature is a finite number, 0 or more.

    Raises:
        GdlError: It is not.
    """
    if not 0 <= temperature < math.inf:
        raise GdlError(f"task.temperature={temperature} has no meaning: use a number from 0 on.")


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
