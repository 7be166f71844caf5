"""Training: from a configuration to a trained, tested and recorded model."""

from gdl.training.averaged_weights import AveragedWeights
from gdl.training.checkpoints import BestCheckpoint, LastCheckpoint
from gdl.training.epoch_weights import EpochWeights
from gdl.training.grids import ImageGrids
from gdl.training.interruption import Interrupted, Interruption
from gdl.training.lean_loop import NoProfiler
from gdl.training.muon import Muon
from gdl.training.progress_line import ProgressLine
from gdl.training.results import finish
from gdl.training.run import Training, fit, prepare, show_cost
from gdl.training.schedules import Cosine, warmup

__all__ = [
    "AveragedWeights",
    "BestCheckpoint",
    "Cosine",
    "EpochWeights",
    "ImageGrids",
    "Interrupted",
    "Interruption",
    "LastCheckpoint",
    "Muon",
    "NoProfiler",
    "ProgressLine",
    "Training",
    "finish",
    "fit",
    "prepare",
    "show_cost",
    "warmup",
]
