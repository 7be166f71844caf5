"""The restorer of a model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gdl.capabilities import Incapable
from gdl.corruptions import Corruption, Seen
from gdl.families.base import GenerativeModel
from gdl.restoration.restorer import Restorer

__all__ = ["restorer_for"]


def restorer_for(model: GenerativeModel, corruption: Corruption) -> Restorer:
    """Return what restores images with a model.

    Raises:
        Incapable: The model cannot.
    """
    restore = getattr(model, "restore", None)
    if restore is None:
        raise Incapable(
            f"measure=restoration asks for a model that restores images, which {type(model).__name__} "
            "lacks: use a run of model=denoising_ae."
        )

    def restored(
        seen: Seen, *, draws: int = 1, seed: int = 0, indices: Sequence[int] | None = None
    ) -> Tensor:
        return restore(seen)[None]

    return restored
