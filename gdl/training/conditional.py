"""model.conditional=true: the model gets the number of classes of the data."""

import inspect
from typing import Any

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

import gdl.models as models
from gdl.capabilities import CHOICES
from gdl.data.base import ImageData
from gdl.data.labels import NO_LABELS
from gdl.data.stored import say
from gdl.errors import GdlError

__all__ = ["add_classes"]


def add_classes(cfg: DictConfig, data: ImageData) -> None:
    """Set `num_classes` of the model's configuration to that of the data, if it is conditional.

    So the configuration that checkpoints hold says how the model was built.

    Raises:
        GdlError: The data have no labels, or the model cannot be conditional.
    """
    conditional = cfg.model.get("conditional", False)
    if not isinstance(conditional, bool):
        raise GdlError(f"model.conditional={conditional} does not fit: give true or false.")
    if not conditional:
        return
    target = cfg.model.get("_target_")
    if not _takes_labels(get_class(str(target))):
        able = [kind for kind in map(models.__dict__.get, models.__all__) if _takes_labels(kind)]
        names = sorted(CHOICES.get(n, n) for n in (k.__module__.rpartition(".")[2] for k in able))
        raise GdlError(
            f"model.conditional=true asks for a model with an argument num_classes, which {target} "
            f"lacks: leave it out, or use model={', '.join(names)}."
        )
    data.prepare_data()
    if not data.num_classes:
        raise GdlError(f"model.conditional=true needs labels: {NO_LABELS}")
    labels = data.labels("train")
    if labels is not None and (missing := data.num_classes - len(labels[labels >= 0].unique())):
        say(
            f"{missing} of {data.num_classes} classes have no training image: the model cannot learn "
            "them, and p(y) is 0 for them."
        )
    OmegaConf.update(cfg, "model.num_classes", data.num_classes, force_add=True)


def _takes_labels(kind: Any) -> bool:
    return "num_classes" in inspect.signature(kind).parameters
