"""What general lossless coders make of the test images: a reference for the bits/dim of models."""

from gdl.capabilities import Incapable, MayBeOfPairs
from gdl.coding import stream_lengths
from gdl.data.base import ImageData
from gdl.evaluation.held_out import held_out
from gdl.families.base import GenerativeModel

__all__ = ["codecs"]


def codecs(
    model: GenerativeModel | None, data: ImageData, limit: int | None = None
) -> dict[str, float]:
    """Return the bits/dim of PNG, WebP, JPEG-XL, zlib and xz, "code-png/bpd" and so on.

    8 bytes / (N D) of all codes together. PNG, WebP and JPEG-XL code one image at a time, as a file;
    zlib and xz all images as one stream, so they may learn from the images before. A codec is left
    out where it does not take such images (PNG, WebP and JPEG-XL: other channels than 1 or 3) or is
    not installed (JPEG-XL, extra [coding]).

    Args:
        model: The numbers are of the data only, but not in the units of a model of pairs of texts.
        data: The data set.
        limit: Only the first so many test images.

    Raises:
        Incapable: The data are no images of at most 256 levels, or the model is one of targets given
            their sources.
    """
    if isinstance(model, MayBeOfPairs):
        model.refuse_pairs("measure=codecs asks for codes of whole windows")
    if data.levels is None or data.levels > 256 or len(data.shape) != 3:
        raise Incapable(
            "measure=codecs asks for images of at most 256 levels, and these data are others: use a "
            "run of data=digits or another one of images."
        )
    x = held_out(data, limit)
    found = stream_lengths(x, data.levels)
    return {f"code-{name}/bpd": 8 * size / x.numel() for name, size in found.items()}
