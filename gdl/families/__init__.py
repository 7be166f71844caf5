"""Base classes: for every model, for autoregressive models and for normalizing flows."""

from gdl.families.autoregressive import AutoregressiveModel, PositionSteps
from gdl.families.base import GenerativeModel
from gdl.families.flow import FlowModel
from gdl.families.latent import LatentModel

__all__ = ["AutoregressiveModel", "FlowModel", "GenerativeModel", "LatentModel", "PositionSteps"]
