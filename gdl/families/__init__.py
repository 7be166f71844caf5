"""What every model shares, and what the models of a family share."""

from gdl.families.autoregressive import AutoregressiveModel, PositionSteps
from gdl.families.base import GenerativeModel
from gdl.families.flow import FlowModel
from gdl.families.latent import LatentModel

__all__ = ["AutoregressiveModel", "FlowModel", "GenerativeModel", "LatentModel", "PositionSteps"]
