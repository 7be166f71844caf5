"""Which classes a task shows of a conditional model."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from gdl.errors import GdlError
from gdl.families.base import GenerativeModel

__all__ = ["ALL", "class_labels", "labels_of"]

ALL = "all"
"""The option task.label that shows every class."""


def labels_of(
    model: GenerativeModel, label: int | str | None, every: Callable[[int], Tensor]
) -> dict[str, Any]:
    """Return the keyword argument `label` of the model's `sample`; nothing where none is asked for.

    Args:
        model: The model; its configuration may hold the names of the classes.
        label: A class by its name or, where they have none, its number; "all", or None.
        every: Returns the label of each image, given the number of classes, for "all".

    Raises:
        GdlError: The model has no labels, or there is no such class.
    """
    if label is None:
        return {}
    model.refuse_labels(label)
    if label == ALL:
        return {"label": every(model.num_classes).to(model.device)}
    # a folder "7" may hold the first class, so a name counts before a number
    known = _class_names(model)
    if str(label) in known:
        return {"label": known.index(str(label))}
    is_name = any(name.isdecimal() for name in known)
    if isinstance(label, int) and not is_name and 0 <= label < model.num_classes:
        return {"label": label}
    classes = f"0 to {model.num_classes - 1}" if not known else ", ".join(known)
    raise GdlError(f"task.label={label} is no class of this model: they are {classes}, or all.")


def class_labels(model: GenerativeModel) -> list[str]:
    """Return what pictures call the classes of a conditional model: their names, or "class 0"."""
    return _class_names(model) or [f"class {k}" for k in range(model.num_classes)]


def _class_names(model: GenerativeModel) -> list[str]:
    names = model.config.get("class_names")
    return [str(name) for name in names] if isinstance(names, list) else []
