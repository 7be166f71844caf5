"""Several measures as one, and how a measure is called."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from gdl.capabilities import Incapable
from gdl.data.base import ImageData
from gdl.evaluation.host import Host
from gdl.families.base import GenerativeModel

__all__ = ["call", "several", "takes_host"]

Measure = Callable[..., dict[str, float]]


def takes_host(measure: Callable[..., Any]) -> bool:
    """Return whether a measure, or one of several, asks for a `Host`."""
    if getattr(measure, "func", measure) is several:
        nested: dict[str, Any] = getattr(measure, "keywords", {})
        return any(takes_host(part) for part in nested.values() if callable(part))
    return "host" in inspect.signature(measure).parameters


def call(
    measure: Measure, model: GenerativeModel, data: ImageData, host: Host | None, limit: int | None
) -> dict[str, float]:
    """Return the numbers of a measure, which gets the host if it asks for one.

    Raises:
        Incapable: It asks for a host, and there is none; or see the measure.
    """
    if not takes_host(measure):
        return measure(model, data, limit=limit)
    if host is None:
        raise Incapable("This measure asks for a host, which opens data and says where files go.")
    return measure(model, data, host=host, limit=limit)


def several(
    model: GenerativeModel,
    data: ImageData,
    optional: Sequence[str] = (),
    limit: int | None = None,
    host: Host | None = None,
    **measures: Measure,
) -> dict[str, float]:
    """Return the numbers of several measures, in their order.

    Args:
        model: In eval mode.
        data: The data set.
        optional: Names of the measures to leave out where the model or the data do not allow them.
        limit: Only the first so many test images.
        host: For the measures that ask for one.
        **measures: Functions (model, data, limit=...) by their names.

    Raises:
        Incapable: The model or the data do not allow a measure that is not optional.
    """
    metrics: dict[str, float] = {}
    for name, measure in measures.items():
        try:
            metrics |= call(measure, model, data, host, limit)
        except Incapable:
            if name not in optional:
                raise
    return metrics
