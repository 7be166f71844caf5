"""Linear bijections: per-channel affine maps, invertible 1x1 convolutions, permutations."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.flows.base import Bijection, DataInitialized

__all__ = [
    "ActNorm",
    "Conv1x1",
    "Permutation",
    "Scale",
    "inverse_matrices",
    "matrices",
    "mix_channels",
    "random_rotations",
]


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
        self._see(x)
        z = (x + _per_channel(self.bias, x)) * _per_channel(self.log_scale.exp(), x)
        return z, _constant(self.log_scale.sum(), x)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        self._see()
        return z * _per_channel((-self.log_scale).exp(), z) - _per_channel(self.bias, z)


class Conv1x1(Bijection):
    """z = W x at each pixel, W = P L (U + diag(sign e^s)), so log |det W| = sum s.

    Glow, Section 3.2. P and the signs are fixed, L is unit lower and U strictly upper triangular,
    so W stays invertible; the inverse solves two triangular systems in float64 and inverts nothing.

    Args:
        num_channels: C of images (B, C, H, W), or of vectors (B, C).
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        packed, permutation, sign = random_rotations(1, num_channels)
        self.packed = nn.Parameter(packed)
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", sign)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        weight = matrices(self.packed, self.permutation, self.sign)[0]
        return mix_channels(x, weight), _constant(self.packed[0].diagonal().sum(), x)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        weight = inverse_matrices(self.packed, self.permutation, self.sign)[0]
        return mix_channels(z, weight.to(z.dtype))


def random_rotations(k: int, c: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return K random rotations W = P L (U + diag(sign e^s)) of C dimensions.

    Returns:
        L below the diagonal, U above it and s on it (K, C, C); P (K, C, C); the signs (K, C).
    """
    rotations = torch.stack([nn.init.orthogonal_(torch.empty(c, c)) for _ in range(k)])
    p, lower, upper = torch.linalg.lu(rotations.double())
    diagonal = upper.diagonal(dim1=1, dim2=2)
    packed = lower.tril(-1) + upper.triu(1) + diagonal.abs().log().diag_embed()
    return packed.float(), p.float(), diagonal.sign().float()


def matrices(packed: Tensor, permutation: Tensor, sign: Tensor) -> Tensor:
    """Return W (K, C, C) in a few batched operations; log |det W| is the sum of s."""
    lower, upper = _factors(packed, sign)
    with torch.autocast(packed.device.type, enabled=False):
        return permutation @ lower @ upper


def inverse_matrices(packed: Tensor, permutation: Tensor, sign: Tensor) -> Tensor:
    """Return W^-1 (K, C, C) in float64, by triangular solves."""
    lower, upper = _factors(packed.double(), sign.double())
    p_inverse = permutation.double().mT
    half = torch.linalg.solve_triangular(lower, p_inverse, upper=False, unitriangular=True)
    return torch.linalg.solve_triangular(upper, half, upper=True)


def _factors(packed: Tensor, sign: Tensor) -> tuple[Tensor, Tensor]:
    eye = torch.eye(packed.shape[-1], dtype=packed.dtype, device=packed.device)
    diagonal = sign * packed.diagonal(dim1=1, dim2=2).exp()
    return packed.tril(-1) + eye, packed.triu(1) + diagonal.diag_embed()


def mix_channels(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return W x + b over the channels of x (B, C, ...), in the precision of x, not autocast's."""
    with torch.autocast(x.device.type, enabled=False):
        # free of copies where x is in channels_last
        return F.linear(x.movedim(1, -1), weight, bias).movedim(-1, 1)


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
        self._see(x)
        return x * self.log_scale.exp(), self.log_scale.sum().expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        self._see()
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
