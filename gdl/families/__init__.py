"""Base classes: for every model, for autoregressive models and for normalizing flows."""

from gdl.families.ancestral import Block, PositionSteps
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.base import GenerativeModel
from gdl.families.flow import FlowModel
from gdl.families.latent import LatentModel

__all__ = [
    "AutoregressiveModel",
    "Block",
    "FlowModel",
    "GenerativeModel",
    "LatentModel",
    "PositionSteps",
]
