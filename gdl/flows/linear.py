"""Linear bijections of the channels: ActNorm and invertible 1x1 convolutions.

Kingma & Dhariwal, 2018, "Glow: Generative flow with invertible 1x1 convolutions", arXiv 1807.03039.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.flows.base import Bijection, DataInitialized

__all__ = ["ActNorm", "Conv1x1", "mix_channels"]


def _per_channel(p: Tensor, x: Tensor) -> Tensor:
    """Shape a parameter (C,) for data (B, C, ...)."""
    return p.view(-1, *[1] * (x.dim() - 2))


def _constant(log_det: Tensor, x: Tensor) -> Tensor:
    """Return the log-determinant of a pixel times their number, for each of B images (B, C, ...)."""
    return (log_det * math.prod(x.shape[2:])).expand(len(x))


class ActNorm(Bijection, DataInitialized):
    """A shift and a scale per channel, set so that the first data have mean 0 and deviation 1.

    Kingma & Dhariwal, 2018, "Glow", Section 3.1. With bias b and log-scale s, each (C,):

        z = (x + b) * e^s,    log |det dz/dx| = pixels * sum s,    x = z * e^-s - b.

    It is set in an explicit pass, see `gdl.flows.base.initialize`, and never by whatever batch
    happens to come first.

    Args:
        num_channels: C of data (B, C, ...).
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.log_scale = nn.Parameter(torch.zeros(num_channels))

    def set_from(self, h: Tensor) -> None:
        """Set mean and standard deviation over the batch, and over the pixels, to 0 and 1."""
        mean, log_std = self.moments(h)
        self.bias.copy_(-mean)
        self.log_scale.copy_(-log_std)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        self._see(x)
        z = (x + _per_channel(self.bias, x)) * _per_channel(self.log_scale.exp(), x)
        return z, _constant(self.log_scale.sum(), x)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        self._see()
        return z * _per_channel((-self.log_scale).exp(), z) - _per_channel(self.bias, z)


class Conv1x1(Bijection):
    """An invertible 1x1 convolution (Kingma & Dhariwal, 2018, "Glow", Section 3.2 and Eq. 10).

    At each pixel, with W = P L (U + diag(s)) of shape (C, C):

        z = W x,    log |det dz/dx| = pixels * sum log |s|,    x = W^-1 z.

    P is a permutation, L is lower triangular with ones on the diagonal, U is strictly upper
    triangular. P and the signs of s are fixed, so W stays invertible. W starts as a random rotation.
    The inverse solves two triangular systems in float64.

    Args:
        num_channels: C of images (B, C, H, W), or of vectors (B, C).
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        rotation = nn.init.orthogonal_(torch.empty(num_channels, num_channels))
        permutation, lower, upper = torch.linalg.lu(rotation.double())
        s = upper.diagonal()
        # one matrix holds L below the diagonal, U above it, log |s| on it
        packed = lower.tril(-1) + upper.triu(1) + s.abs().log().diag()
        self.packed = nn.Parameter(packed.float())
        self.register_buffer("permutation", permutation.float())
        self.register_buffer("sign", s.sign().float())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        lower, upper = self._triangles(self.packed.dtype)
        with torch.autocast(x.device.type, enabled=False):
            weight = self.permutation @ lower @ upper
        return mix_channels(x, weight), _constant(self.packed.diagonal().sum(), x)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        lower, upper = self._triangles(torch.float64)
        half = torch.linalg.solve_triangular(
            lower, self.permutation.double().T, upper=False, unitriangular=True
        )
        weight = torch.linalg.solve_triangular(upper, half, upper=True)
        return mix_channels(z, weight.to(z.dtype))

    def _triangles(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return L and U + diag(s)."""
        packed = self.packed.to(dtype)
        eye = torch.eye(len(packed), dtype=dtype, device=packed.device)
        s = self.sign.to(dtype) * packed.diagonal().exp()
        return packed.tril(-1) + eye, packed.triu(1) + s.diag()


def mix_channels(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return W x + b over the channels of x (B, C, ...), in the precision of x, not autocast's."""
    with torch.autocast(x.device.type, enabled=False):
        # free of copies where x is in channels_last
        return F.linear(x.movedim(1, -1), weight, bias).movedim(-1, 1)
