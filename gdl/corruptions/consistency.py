"""What is known of an image is put back into a guess of it, and where a guess may start."""

import torch
import torch.nn.functional as F
from torch import Tensor

from gdl.corruptions.base import Corruption, Linear, Seen

__all__ = ["consistent", "first_guess"]


def consistent(x: Tensor, seen: Seen, corruption: Corruption) -> Tensor:
    """Return the images nearest to x (B, C, H, W) that agree with what is seen without noise.

    Known pixels are put back. Where a known pixel of y is a mean, as of a square or of the colours,
    the difference is shared among what it is a mean of, which is the projection on {x: A x = y}: no
    image of that set gets farther away.

    Args:
        x: A guess.
        seen: What is left.
        corruption: What was done.
    """
    if corruption.linear and not seen.sigma:
        assert isinstance(corruption, Linear)
        # rows of A do not overlap, so A A^T is diagonal: it is A A^T 1
        scale = corruption.A(corruption.A_adjoint(torch.ones_like(seen.y[:1])))
        lacks = (seen.y - corruption.A(x)) / scale.clamp(min=1e-6)
        x = x + corruption.A_adjoint(torch.where(seen.known, lacks, 0))
    return torch.where(seen.known_pixels, seen.image, x)


def first_guess(seen: Seen) -> Tensor:
    """Return images (B, C, H, W): y enlarged by cubic splines, grey in all channels, holes filled.

    A hole is filled by the mean of what is left of its channel.
    """
    y, (channels, *size) = seen.y, seen.shape
    if seen.hole is not None:
        left = ~seen.hole
        count = left.flatten(2).sum(2).clamp(min=1)
        mean = (y * left).flatten(2).sum(2) / count
        y = torch.where(seen.hole, mean[..., None, None], y)
    if [*y.shape[2:]] != size:
        y = F.interpolate(y, size, mode="bicubic")
    return y.expand(-1, channels, -1, -1)
