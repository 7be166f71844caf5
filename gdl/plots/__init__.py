"""Writes pictures and animations; no other room draws."""

from gdl.plots.animations import save_animation
from gdl.plots.classification import save_classification, save_probes
from gdl.plots.figures import save_figure
from gdl.plots.grids import save_grid, save_result, save_sheet
from gdl.plots.latents import latents_figure
from gdl.plots.maps import draw_maps
from gdl.plots.scores import save_scores

__all__ = [
    "draw_maps",
    "latents_figure",
    "save_animation",
    "save_classification",
    "save_figure",
    "save_grid",
    "save_probes",
    "save_result",
    "save_scores",
    "save_sheet",
]
