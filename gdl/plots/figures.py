"""Diagrams as files."""

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from gdl.plots.layout import LEAST

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # half a second to import

__all__ = ["save_figure"]


def save_figure(figure: "Figure", path: Path, about: str = "") -> Path:
    """Write a diagram as a PNG of at least `LEAST` pixels on its shorter side.

    Args:
        figure: The diagram.
        path: The file.
        about: What the diagram is about; it stands before its title.
    """
    title = ": ".join(text for text in (about, figure.get_suptitle()) if text)
    width, height = figure.get_size_inches()
    if title:
        figure.suptitle(textwrap.fill(title, int(10 * width)))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=max(100, math.ceil(LEAST / min(width, height))))
    return path
