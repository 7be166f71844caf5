"""Writes pictures and animations; no other room draws."""

from gdl.plots.classification import save_classification
from gdl.plots.grids import save_animation, save_grid, save_result, save_sheet
from gdl.plots.latents import latents_figure
from gdl.plots.scores import save_scores

__all__ = [
    "latents_figure",
    "save_animation",
    "save_classification",
    "save_grid",
    "save_result",
    "save_scores",
    "save_sheet",
]
