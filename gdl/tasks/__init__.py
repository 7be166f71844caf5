"""Tasks make pictures from a model: functions (model, x, **options) -> named results.

`x` are test images (N, C, H, W) uint8, which are read from disk when a task first looks at them. A
result is a `Picture`, a grid with labels; or its images alone, a tensor (rows, columns, C, H, W) with
values in [0, levels - 1], drawn as a grid, and as an animation over the columns where the name starts
with "moving_"; or a diagram, a figure of matplotlib that a function of `gdl.plots` has made. A tensor
(N, D) is a table, and one without dimensions a number, which is printed; `gdl.texts.Texts` are texts,
which are drawn when they are shown. A task with a parameter `host` gets a `gdl.evaluation.Host`, which
opens the run's data, for training images, and other runs.
"""

from gdl.tasks.completion import complete
from gdl.tasks.embedding import embed
from gdl.tasks.images import LazyImages
from gdl.tasks.interpolation import interpolate
from gdl.tasks.latent_planes import manifold
from gdl.tasks.layer_densities import density
from gdl.tasks.reconstruction import reconstruct
from gdl.tasks.restoration import restore
from gdl.tasks.sampling import sample
from gdl.tasks.traversal import traverse

__all__ = [
    "LazyImages",
    "complete",
    "density",
    "embed",
    "interpolate",
    "manifold",
    "reconstruct",
    "restore",
    "sample",
    "traverse",
]
