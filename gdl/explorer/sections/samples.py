"""Section samples: draws from a model without latents, which a server of the page makes."""

from typing import Any

from gdl.capabilities import HasLatents, Samples
from gdl.explorer.served import SAMPLES
from gdl.explorer.subject import Subject

__all__ = ["content"]


def content(subject: Subject) -> dict[str, Any] | None:
    """Return how many samples are drawn at a time; None where the page has latents to show."""
    model = subject.model
    if isinstance(model, HasLatents) or not isinstance(model, Samples) or len(model.shape) != 3:
        return None
    return {"count": SAMPLES}
