"""Sample grids as text that stands inside a page."""

import base64
import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

__all__ = ["as_data_uri"]

MAX_BYTES = 32_000


def as_data_uri(picture: Path) -> tuple[str, bool] | None:
    """Return a grid of samples as a data URI.

    Returns:
        The URI, and whether it shows the top left part only, because the whole grid has more than
        `MAX_BYTES` bytes. None if it cannot be read.
    """
    content = picture.read_bytes()
    cut = len(content) > MAX_BYTES
    while len(content) > MAX_BYTES:
        # a part with its true pixels says more about samples than a blurred whole
        try:
            with Image.open(io.BytesIO(content)) as grid:
                part = grid.crop((0, 0, grid.width // 2 + 1, grid.height // 2 + 1))
        except (UnidentifiedImageError, OSError):
            return None
        buffer = io.BytesIO()
        part.save(buffer, "PNG", optimize=True)
        content = buffer.getvalue()
    return "data:image/png;base64," + base64.b64encode(content).decode(), cut
