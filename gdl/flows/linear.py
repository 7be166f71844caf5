"""Linear bijections: per-channel affine maps, invertible 1x1 convolutions, permutations."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.flows.base import Bijection, DataInitialized

__all__ = ["ActNorm", "Conv1x1", "Permutation", "Scale"]


def _per_channel(p: Tensor, x: Tensor) -> Tensor:
    """Shape a parameter (C,) for data (B, C, ...)."""
    return p.view(-1, *[1] * (x.dim() - 2))


def _constant(log_det: Tensor, x: Tensor) -> Tensor:
    """Return a log-determinant per pixel that no data enter, for each of B images (B, C, ...)."""
    return (log_det * math.prod(x.shape[2:])).expand(len(x))


class ActNorm(Bijection, DataInitialized):
    """z = (x + bias) exp(log_scale) per channel, set so that the first data have mean 0, std 1.

    Kingma & Dhariwal, 2018, "Glow", arXiv 1807.03039, Section 3.1. It is set in an explicit pass,
    see `gdl.flows.base.initialize`, and never by whatever batch happens to come first.

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
        self._maybe_set(x)
        z = (x + _per_channel(self.bias, x)) * _per_channel(self.log_scale.exp(), x)
        return z, _constant(self.log_scale.sum(), x)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        return z * _per_channel((-self.log_scale).exp(), z) - _per_channel(self.bias, z)


class Conv1x1(Bijection):
    """z = W x at each pixel, W = P L (U + diag(sign exp(log_s))), so log |det W| = sum log_s.

    Glow, Section 3.2. P and the signs are fixed, L is unit lower and U strictly upper triangular,
    so W stays invertible; the inverse solves two triangular systems in float64 and inverts nothing.

    Args:
        num_channels: C of images (B, C, H, W), or of vectors (B, C).
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        rotation = nn.init.orthogonal_(torch.empty(num_channels, num_channels))
        p, lower, upper = torch.linalg.lu(rotation.double())
        diagonal = upper.diagonal()
        self.register_buffer("permutation", p.float())
        self.register_buffer("sign", diagonal.sign().float())
        self.log_s = nn.Parameter(diagonal.abs().log().float())
        self.lower = nn.Parameter(lower.tril(-1).float())
        self.upper = nn.Parameter(upper.triu(1).float())

    def weight(self) -> Tensor:
        """Return W (C, C)."""
        return self.weights([self])[0]

    @staticmethod
    def weights(layers: Sequence["Conv1x1"]) -> Tensor:
        """Return W (K, C, C) of K layers of one size, in a few batched operations."""
        p, lower, upper = Conv1x1._factors(layers)
        with torch.autocast(p.device.type, enabled=False):
            return p @ lower @ upper

    @staticmethod
    def inverses(layers: Sequence["Conv1x1"]) -> Tensor:
        """Return W^-1 (K, C, C) in float64."""
        p, lower, upper = (t.double() for t in Conv1x1._factors(layers))
        half = torch.linalg.solve_triangular(lower, p.mT, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, half, upper=True)

    @staticmethod
    def _factors(layers: Sequence["Conv1x1"]) -> tuple[Tensor, Tensor, Tensor]:
        diagonal = torch.stack([m.log_s for m in layers]).exp()
        diagonal = diagonal * torch.stack([m.sign for m in layers])
        lower = torch.stack([m.lower for m in layers]).tril(-1)
        upper = torch.stack([m.upper for m in layers]).triu(1)
        eye = torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device)
        p = torch.stack([m.permutation for m in layers])
        return p, lower + eye, upper + torch.diag_embed(diagonal)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        return mix_channels(x, self.weight()), _constant(self.log_s.sum(), x)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        return mix_channels(z, self.inverses([self])[0].to(z.dtype))


def mix_channels(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return W x + b over the channels of x (B, C, ...), in the precision of x, not autocast's."""
    with torch.autocast(x.device.type, enabled=False):
        if x.dim() == 2:
            return F.linear(x, weight, bias)
        return F.conv2d(x, weight[:, :, None, None], bias)


class Scale(Bijection, DataInitialized):
    """z = x exp(log_scale) per dimension (Dinh et al., 2014, "NICE", arXiv 1410.8516, Section 3.3).

    The paper starts at log_scale = 0. Pixels that hardly vary need log-scales near 6, which takes
    Adam thousands of steps, so here the first data are given standard deviation 1 instead.

    Args:
        shape: Shape of an example.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(*shape))

    def set_from(self, h: Tensor) -> None:
        """Set the standard deviation of each dimension over the batch to 1."""
        self.log_scale.copy_(-self.moments(h.flatten(1))[1].view_as(self.log_scale))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        self._maybe_set(x)
        return x * self.log_scale.exp(), self.log_scale.sum().expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        return z * (-self.log_scale).exp()


class Permutation(Bijection):
    """Reorders the channels of data (B, C, ...): z[:, i] = x[:, order[i]].

    Args:
        order: A permutation of 0, ..., C - 1.
    """

    order: Tensor
    reverse: Tensor

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("order", torch.as_tensor(order))
        self.register_buffer("reverse", self.order.argsort())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        return x.index_select(1, self.order), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        return z.index_select(1, self.reverse)
