"""An image without its colours, as colorization gets it."""

from dataclasses import dataclass

from torch import Tensor

from gdl.corruptions.base import Corruption, Seen
from gdl.corruptions.options import check_whole
from gdl.errors import GdlError
from gdl.noise import NoiseSource

__all__ = ["LUMA", "Grayscale"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of ITU-R Recommendation BT.601."""


@dataclass(frozen=True)
class Grayscale(Corruption):
    """The brightness of an image of three channels, or one of the channels.

    Args:
        channel: The channel that is kept, 0 to 2; None for the brightness, a mean weighted by `LUMA`.
    """

    channel: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        if self.channel is None:
            return
        check_whole("grayscale.channel", self.channel, 0)
        if self.channel > 2:
            raise GdlError(f"grayscale.channel={self.channel} does not exist: use 0, 1 or 2.")

    def corrupt(self, seen: Seen, noise: NoiseSource) -> Seen:
        """Keep one channel; brightness is known if all channels are, and a hole if any is."""
        y, k = self.A(seen.y), self.channel
        assert seen.copied is not None
        if k is not None:
            hole = None if seen.hole is None else seen.hole[:, k : k + 1]
            copied = seen.copied[k : k + 1]
            return seen.then(y, known=seen.known[:, k : k + 1], copied=copied, hole=hole)
        hole = None
        if seen.hole is not None:
            hole = seen.hole.any(1, keepdim=True)
            y = y.masked_fill(hole, 0.5)
        copied = seen.copied[:1].new_full((1, *seen.copied.shape[1:]), -1)
        return seen.then(y, known=seen.known.all(1, keepdim=True), copied=copied, hole=hole)

    def A(self, x: Tensor) -> Tensor:
        """Return (B, 1, H, W) of (B, 3, H, W).

        Raises:
            GdlError: There are not three channels.
        """
        if x.shape[-3] != len(LUMA):
            raise GdlError(
                f"grayscale takes the colours of images with 3 channels; these have {x.shape[-3]}: use "
                "data with colours, e.g. data=cifar10, or another corruption."
            )
        if self.channel is not None:
            return x[..., self.channel : self.channel + 1, :, :]
        return (x * x.new_tensor(LUMA).view(3, 1, 1)).sum(-3, keepdim=True)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Return (B, 3, H, W) of (B, 1, H, W): y times the weight of each channel."""
        weights = LUMA if self.channel is None else [float(c == self.channel) for c in range(3)]
        return y * y.new_tensor(weights).view(3, 1, 1)
