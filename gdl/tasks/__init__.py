"""Pictures from a model: functions (model, x, **options) -> named tensors."""

from gdl.tasks.completion import complete, completing_models
from gdl.tasks.generate import interpolate, reconstruct, sample, traverse
from gdl.tasks.layer_densities import density

__all__ = [
    "complete",
    "completing_models",
    "density",
    "interpolate",
    "reconstruct",
    "sample",
    "traverse",
]
