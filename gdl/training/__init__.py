"""Training: from a configuration to a trained, tested and recorded model."""

from gdl.training.callbacks import AveragedWeights, ImageGrids, ProgressLine
from gdl.training.interruption import Interrupted, Interruption
from gdl.training.run import NoProfiler, Training, finish, fit, prepare, show_cost
from gdl.training.schedules import Cosine, warmup

__all__ = [
    "AveragedWeights",
    "Cosine",
    "ImageGrids",
    "Interrupted",
    "Interruption",
    "NoProfiler",
    "ProgressLine",
    "Training",
    "finish",
    "fit",
    "prepare",
    "show_cost",
    "warmup",
]
