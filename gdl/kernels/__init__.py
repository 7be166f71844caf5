"""Forward and backward passes on tensors, written by hand; they know no models and no flows."""

from gdl.kernels.cpu import (
    Layers,
    by_hand,
    hidden_layers,
    net_backward,
    networks,
    threshold_backward,
    unstack,
)
from gdl.kernels.recompute import recomputed
from gdl.kernels.staircase import Rectangle, Staircase, StaircaseProduct, cut_staircase
from gdl.kernels.tied import States, TiedOutputs, distinct_states

__all__ = [
    "Layers",
    "Rectangle",
    "Staircase",
    "StaircaseProduct",
    "States",
    "TiedOutputs",
    "by_hand",
    "cut_staircase",
    "distinct_states",
    "hidden_layers",
    "net_backward",
    "networks",
    "recomputed",
    "threshold_backward",
    "unstack",
]
