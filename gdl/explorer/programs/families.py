"""Which programs a model has."""

from collections.abc import Callable
from typing import Any

from gdl import models
from gdl.capabilities import HasLatents, Samples, refuse
from gdl.explorer.graph import Graph, Weights
from gdl.explorer.layers import Inexpressible
from gdl.explorer.programs.autoencoder import autoencoder, denoising_autoencoder
from gdl.explorer.programs.checks import refuse_own_methods
from gdl.explorer.programs.flows import flow
from gdl.explorer.programs.variational import variational
from gdl.families.base import GenerativeModel
from gdl.families.flow import FlowModel
from gdl.families.variational import VariationalModel

__all__ = ["FAMILIES", "programs"]

FAMILIES: dict[type[GenerativeModel], Callable[[Any, Weights], dict[str, Graph]]] = {
    VariationalModel: variational,
    models.Autoencoder: autoencoder,
    models.DenoisingAutoencoder: denoising_autoencoder,
    FlowModel: flow,
}
"""What writes the programs of a model of a class."""


def programs(model: GenerativeModel) -> tuple[dict[str, Graph], Weights]:
    """Return the graphs of a model by name, see `gdl.explorer.programs`, and their weights.

    Raises:
        Inexpressible: The page cannot run this model.
        Incapable: The model has no latents.
    """
    weights = Weights()
    for family, write in FAMILIES.items():
        if isinstance(model, family):
            refuse_own_methods(model, family)
            return write(model, weights), weights
    if not isinstance(model, HasLatents):
        if isinstance(model, Samples):
            raise Inexpressible(
                f"A page decodes latents, and a {type(model).__name__} has none: let Python draw its "
                "samples, with gdl explore --serve."
            )
        refuse(model, HasLatents, "The explorer asks for latents", models)
    raise Inexpressible(
        f"The page cannot run a {type(model).__name__}: let Python decode, with gdl explore --serve."
    )
