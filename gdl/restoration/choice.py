"""The restorer of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.corruptions import Corruption, Seen
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.base import GenerativeModel
from gdl.families.flow import FlowModel
from gdl.models.vae import VAE
from gdl.restoration.autoregressive import ByConditionals
from gdl.restoration.constraint import constraint_of, probe
from gdl.restoration.flow import ByHamiltonian
from gdl.restoration.latent import ByGibbs, refuse_dependent
from gdl.restoration.restorer import Restorer

__all__ = ["restorer_for"]


@runtime_checkable
class _Restores(Protocol):
    def restore(self, seen: Seen) -> Tensor: ...


@dataclass
class _ByNetwork:
    """The one answer of a network that was trained to restore."""

    model: _Restores
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
    who = type(model).__name__
    if isinstance(model, _Restores):
        return _ByNetwork(model)
    if model.levels is None or not isinstance(model, AutoregressiveModel | VAE | FlowModel):
        raise Incapable(
            f"This {who} cannot restore images: use a run of model=denoising_ae on these data, or of "
            "a density of images (an autoregressive model, a VAE or a flow)."
        )
    given = constraint_of(probe(corruption, model.shape), model.levels, torch.device("cpu"), who)
    if isinstance(model, AutoregressiveModel):
        restorer = ByConditionals(model)
        restorer.refuse(given)
        return restorer
    if isinstance(model, VAE):
        refuse_dependent(model, given)
        return ByGibbs(model)
    return ByHamiltonian(model)
