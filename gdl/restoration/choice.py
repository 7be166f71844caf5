"""The restorer of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gdl.capabilities import Incapable, Restores
from gdl.corruptions import Corruption, Seen
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.base import GenerativeModel
from gdl.families.flow import FlowModel
from gdl.families.variational import VariationalModel
from gdl.restoration.autoregressive import ByConditionals
from gdl.restoration.constraint import constraint_of, probe
from gdl.restoration.flow import ByHamiltonian
from gdl.restoration.latent import ByGibbs
from gdl.restoration.restorer import Restorer

__all__ = ["density_restorer", "restorer_for"]


@dataclass
class _ByNetwork:
    """The one answer of a network that was trained to restore."""

    model: Restores
    note: str = "The network has one answer."

    def __call__(
        self, seen: Seen, *, draws: int = 1, seed: int = 0, indices: Sequence[int] | None = None
    ) -> Tensor:
        """See `Restorer`."""
        return self.model.restore(seen)[None]


def restorer_for(model: GenerativeModel, corruption: Corruption) -> Restorer:
    """Return what restores images with a model: its own network, or its density under a constraint.

    An autoregressive model draws from its conditionals (`ByConditionals`), a VAE by Gibbs sampling
    (`ByGibbs`), a flow by Hamiltonian Monte Carlo (`ByHamiltonian`). Each has a `note`, a sentence that
    says what is exact and what is approximate in its draws.

    Raises:
        Incapable: The model cannot restore what this corruption takes away.
        GdlError: The corruption does not suit the images.
    """
    if isinstance(model, Restores):
        return _ByNetwork(model)
    restorer, levels, who = density_restorer(model), model.levels, type(model).__name__
    assert levels is not None
    given = constraint_of(probe(corruption, model.shape), levels, torch.device("cpu"), who)
    restorer.refuse(given)
    return restorer


def density_restorer(model: GenerativeModel) -> ByConditionals | ByGibbs | ByHamiltonian:
    """Return what draws from p(x | what is seen) of a model's density.

    Raises:
        Incapable: The model has none, or not of images.
    """
    if model.levels is not None:
        if isinstance(model, AutoregressiveModel):
            return ByConditionals(model)
        if isinstance(model, VariationalModel):
            return ByGibbs(model)
        if isinstance(model, FlowModel):
            return ByHamiltonian(model)
    raise Incapable(
        f"This {type(model).__name__} cannot restore images: use a run of model=denoising_ae on "
        "images, or of a density of images, e.g. model=made, vae or realnvp."
    )
