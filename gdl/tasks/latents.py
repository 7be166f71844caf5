"""What tasks share: checks of a model and of options, and decoding latents in a grid."""

import math
from typing import Any

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import Continues, HasLatents, Invertible, refuse
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.tasks.images import LazyImages
from gdl.tasks.labels import ALL, labels_of

__all__ = [
    "Images",
    "check_images",
    "check_temperature",
    "decode_grid",
    "encoded",
    "given_labels",
    "truncation",
    "with_latents",
]

Images = Tensor | LazyImages
"""Test images (N, C, H, W) uint8."""


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


def truncation(model: GenerativeModel, top_k: int | None, top_p: float) -> dict[str, Any]:
    """Return the options of a model's `sample` that draw from its most likely values only.

    They are none where all values are kept, so that every model can be asked for that.

    Args:
        model: The model.
        top_k: See `gdl.families.drawing.Drawing`; None for all.
        top_p: See there; 1 for all.

    Raises:
        Incapable: The model does not draw value by value.
        GdlError: One is out of range.
    """
    if top_k is None and top_p == 1:
        return {}
    option = "top_p" if top_k is None else "top_k"
    if not isinstance(model, Continues):
        refuse(model, Continues, f"task.{option} asks for draws value by value", models)
    if top_k is not None and top_k < 1:
        raise GdlError(f"task.top_k={top_k} keeps no value: use 1 or more, or null for all.")
    if not 0 < top_p <= 1:
        raise GdlError(f"task.top_p={top_p} is no probability to keep: use one above 0, up to 1.")
    return {"top_k": top_k, "top_p": top_p}


def with_latents(model: GenerativeModel, task: str) -> HasLatents:
    """Return the model, if it is one of images and has latents.

    Raises:
        GdlError: It is one of vectors, or it has no latents; the message names models that do.
    """
    check_images(model, task)
    if not isinstance(model, HasLatents):
        refuse(model, HasLatents, f"task={task} asks for latents", models)
    return model


def given_labels(
    model: GenerativeModel, x: Images, label: int | str | None
) -> tuple[Tensor | None, Tensor | None]:
    """Return the labels (N,) to encode test images with, and those to decode with.

    An image is encoded with its own label, and decoded with `label` where that is given: as an image of
    another class in the same style. Both are None for a model without labels, and for a flow, whose
    latents do not depend on them.

    Args:
        model: The model.
        x: Test images (N, C, H, W), with `labels` if they have some.
        label: The option of the task, a class by its name or number.

    Raises:
        GdlError: The labels of the images are not known, or there is no such label.
    """
    if label == ALL:
        raise GdlError("task.label=all is for task=sample and task=complete: name one class here.")
    one = labels_of(model, label, torch.arange).get("label")
    if isinstance(model, Invertible) or not model.num_classes:
        return None, None
    own: Tensor | None = getattr(x, "labels", None)
    own = None if own is None else own[: len(x)].to(model.device)
    shown = own if one is None else model.checked_labels(one, len(x))
    own = shown if own is None else own
    if own is None and not model.label_dropout:
        raise GdlError(
            f"This {type(model).__name__} is conditional, and the labels of these images are not "
            f"known: set task.label to one of 0 to {model.num_classes - 1}."
        )
    return own, shown


def encoded(latents: HasLatents, x: Tensor, y: Tensor | None) -> Tensor:
    """Return the latents of images x (B, C, H, W) with labels y (B,), of a model that takes some."""
    return latents.encode(x) if y is None else latents.encode(x, y)  # pyright: ignore


def decode_grid(latents: HasLatents, walk: Tensor, y: Tensor | None = None) -> Tensor:
    """Return the images (rows, columns, C, H, W) of latents (rows, columns, ...).

    Args:
        latents: The model.
        walk: The latents.
        y: Labels (rows, columns), of a model that takes some.
    """
    z = walk.flatten(0, 1)
    images = latents.decode(z) if y is None else latents.decode(z, y.flatten())  # pyright: ignore
    return images.unflatten(0, walk.shape[:2])
