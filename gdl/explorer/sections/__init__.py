"""The sections of the page: each is a function of a subject to plain data, and files in page/.

A section NAME has `NAME.py` here, with `content(subject) -> dict | None` (None: the page has no such
section), and `page/NAME.html`, `page/NAME.css`, `page/NAME.js`.
"""

from collections.abc import Callable
from typing import Any

from gdl.explorer.sections import canvas, checkpoints, flow, latent_map, samples, sliders
from gdl.explorer.subject import Subject

__all__ = ["SECTIONS"]

SECTIONS: dict[str, Callable[[Subject], dict[str, Any] | None]] = {
    "latent_map": latent_map.content,
    "sliders": sliders.content,
    "canvas": canvas.content,
    "checkpoints": checkpoints.content,
    "flow": flow.content,
    "samples": samples.content,
}
"""In the order of the page."""
