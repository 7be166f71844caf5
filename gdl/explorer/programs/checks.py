"""Compares the programs of a page with the model itself."""

import torch
from torch import Tensor

from gdl.explorer.graph import Graph
from gdl.explorer.layers import Inexpressible
from gdl.families.base import GenerativeModel

__all__ = ["check"]


def check(model: GenerativeModel, graphs: dict[str, Graph], x: Tensor) -> None:
    """Compare the graphs with the model itself on images, so that no page shows another model.

    Raises:
        Inexpressible: They differ, as those of a subclass with methods of its own would.
    """
    if model.num_classes:
        return
    with torch.inference_mode():
        z = model.encode(x)  # pyright: ignore
        own = model.decode(z)  # pyright: ignore
        mean = graphs["encode"].run({"x": x})["mean"]
        image = graphs["decode"].run({"z": z})["image"]
    if not (torch.allclose(mean, z, 1e-3, 1e-3) and torch.allclose(image, own, 0, 0.5)):
        raise Inexpressible(
            f"{type(model).__name__} computes something else than its family, so the page cannot run "
            "it: let Python decode, with gdl explore --serve."
        )
