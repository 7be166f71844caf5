"""Images by the name that data= has for them: of another data set, or made."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.data.base import ImageData
from gdl.evaluation.held_out import held_out
from gdl.evaluation.host import Host
from gdl.evaluation.outliers.fitting import fitted, fitted_name
from gdl.evaluation.outliers.synthetic import SYNTHETIC
from gdl.noise import mix_seed

__all__ = ["made_images", "other_images"]


def other_images(
    name: str,
    data: ImageData,
    host: Host,
    fit: str | Sequence[str] | None,
    seed: int,
    limit: int | None,
) -> tuple[str, Tensor]:
    """Return a name and test images of other data, or made ones, of the run's shape and levels.

    The name says how they were fitted, see `fitted_name`.

    Args:
        name: Of a data set, or a key of `SYNTHETIC`.
        data: The run's data.
        host: Opens the data set.
        fit: How images of another shape are brought to the run's, see `fitted`.
        seed: Seeds made images.
        limit: Only the first so many.

    Raises:
        Incapable: The images do not fit the run's data.
        GdlError: There is no such data set, or it cannot be had.
    """
    if name in SYNTHETIC:
        return name, made_images(name, data, seed, limit)
    other = host.open_data(name)
    x = fitted(name, held_out(other, limit), other.levels, data, fit)
    return fitted_name(name, other, data, fit), x


def made_images(name: str, data: ImageData, seed: int, limit: int | None) -> Tensor:
    """Return images of `SYNTHETIC`, one for each test image (N, C, H, W) uint8.

    Raises:
        Incapable: The run's data are no integers of one byte.
    """
    if data.levels is None or data.levels > 256:
        raise Incapable(
            f"measure=ood asks for images to make data={name} of, and the run's data are no integers "
            "of one byte: use other data, as data=[NAME]."
        )
    generator = torch.Generator().manual_seed(mix_seed(name, seed))
    return SYNTHETIC[name](held_out(data, limit).cpu(), data.levels, generator)
