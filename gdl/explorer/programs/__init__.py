"""What a page computes with a model, as graphs: a file for each family, and what checks them.

encode: x (B, C, H, W) whole numbers of levels, y (B,) of a conditional model -> mean (B, M), and of a
VAE log_std (B, M).
decode: z (B, M), y -> image (B, C, H, W), real numbers in [0, levels - 1].
distortion: x, z, y -> distortion (B,) in nats, of a VAE: -log p(x | z).

With `label_dropout` y is the number of classes where there is no label.
"""

from gdl.explorer.programs.checks import check, label_rows
from gdl.explorer.programs.families import programs

__all__ = ["check", "label_rows", "programs"]
