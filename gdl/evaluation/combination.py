"""Several measures as one."""

from collections.abc import Callable, Sequence

from gdl.capabilities import Incapable
from gdl.data.base import ImageData
from gdl.families.base import GenerativeModel

__all__ = ["several"]


def several(
    model: GenerativeModel,
    data: ImageData,
    optional: Sequence[str] = (),
    limit: int | None = None,
    **measures: Callable[..., dict[str, float]],
) -> dict[str, float]:
    """Return the numbers of several measures, in their order.

    Args:
        model: In eval mode.
        data: The data set.
        optional: Names of the measures to leave out where the model or the data do not allow them.
        limit: Only the first so many test images.
        **measures: Functions (model, data, limit=...) by their names.

    Raises:
        Incapable: The model or the data do not allow a measure that is not optional.
    """
    metrics: dict[str, float] = {}
    for name, measure in measures.items():
        try:
            metrics |= measure(model, data, limit=limit)
        except Incapable:
            if name not in optional:
                raise
    return metrics
