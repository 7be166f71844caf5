"""A smaller image, as super-resolution gets it."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from gdl.corruptions.base import Corruption, Seen
from gdl.corruptions.options import check_choice, check_whole
from gdl.errors import GdlError
from gdl.noise import NoiseSource

__all__ = ["Downsample"]


@dataclass(frozen=True)
class Downsample(Corruption):
    """A smaller image: the mean of each square of pixels, or its upper left pixel.

    Args:
        factor: How many times smaller it is in each direction.
        method: "area" for the mean of factor x factor pixels, "subsample" for one of them.
    """

    factor: int = 2
    method: str = "area"

    def __post_init__(self) -> None:
        """Check the options."""
        check_whole("downsample.factor", self.factor, 2)
        check_choice("downsample.method", self.method, ("area", "subsample"))

    def corrupt(self, seen: Seen, noise: NoiseSource) -> Seen:
        """Make it smaller; a mean is known if all its pixels are, and a hole if any is."""
        y, first = self.A(seen.y), slice(None, None, self.factor)
        assert seen.copied is not None
        copied, f = seen.copied[:, first, first], self.factor
        if self.method == "subsample":
            hole = None if seen.hole is None else seen.hole[:, :, first, first]
            return seen.then(y, known=seen.known[:, :, first, first], copied=copied, hole=hole)
        hole = seen.hole
        if hole is not None:
            hole = F.max_pool2d(hole.to(y), f) > 0
            y = y.masked_fill(hole, 0.5)
        known = F.max_pool2d((~seen.known).to(y), f) == 0
        return seen.then(y, known=known, copied=copied.new_full(copied.shape, -1), hole=hole)

    def A(self, x: Tensor) -> Tensor:
        """Return (B, C, H / factor, W / factor).

        Raises:
            GdlError: The factor does not divide the size.
        """
        height, width = x.shape[-2:]
        if height % self.factor or width % self.factor:
            raise GdlError(
                f"downsample.factor={self.factor} does not divide the size of the images, "
                f"{height}x{width}: use one that does, or crop the images."
            )
        if self.method == "subsample":
            return x[..., :: self.factor, :: self.factor]
        return F.avg_pool2d(x, self.factor)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Return (B, C, H, W): y spread over the pixels of its square, or put at one of them."""
        f = self.factor
        if self.method == "area":
            return y.repeat_interleave(f, -1).repeat_interleave(f, -2) / f**2
        x = y.new_zeros(*y.shape[:-2], y.shape[-2] * f, y.shape[-1] * f)
        x[..., ::f, ::f] = y
        return x
