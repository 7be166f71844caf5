"""Embeds sample grids in a page as data URIs."""

import base64
import io
from pathlib import Path

from PIL import Image

from gdl.data.decoding import UNREADABLE

__all__ = ["as_data_uri"]

MAX_BYTES = 32_000
MAX_READ = 100_000_000


def as_data_uri(picture: Path) -> tuple[str, bool] | None:
    """Return a PNG file as a data URI of at most about `MAX_BYTES` bytes.

    Returns:
        The URI, and whether it shows only the top, because the whole picture is larger.
        None if the picture cannot be read.
    """
    if not picture.is_file() or picture.stat().st_size > MAX_READ:
        return None
    try:
        content = picture.read_bytes()
    except OSError:
        return None
    cut = len(content) > MAX_BYTES
    while len(content) > MAX_BYTES:
        # cropped, not scaled, because single pixels matter in samples; the title stays whole
        try:
            with Image.open(io.BytesIO(content)) as grid:
                part = grid.crop((0, 0, grid.width, max(1, grid.height // 2)))
        except UNREADABLE:
            return None
        buffer = io.BytesIO()
        part.save(buffer, "PNG", optimize=True)
        content = buffer.getvalue()
    return "data:image/png;base64," + base64.b64encode(content).decode(), cut
