"""Maps of vectors: an image as a vector, dimensions reordered, scaled, standardized, decorrelated."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gdl.flows.base import Bijection, DataInitialized

__all__ = ["Flatten", "Permutation", "Scale", "Standardize", "Whitening", "first_maps"]


class Flatten(Bijection):
    """Turns examples of a shape into vectors.

    Args:
        shape: Shape of an example.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        return x.flatten(1), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        return z.unflatten(1, self.shape)


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


class Standardize(Bijection, DataInitialized):
    """z = (x - mean) / std per dimension, with the moments of the training rows, which stay.

    As a part of the flow it brings its log-determinant, -sum log std, so the density is that of the
    data in their own units. What follows sees the same numbers whatever the units are, and learns the
    same: a column in millimetres instead of metres adds log 1000 nats, and changes nothing else.

    Args:
        num_dims: D of vectors (B, D).
    """

    mean: Tensor
    log_std: Tensor

    def __init__(self, num_dims: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_dims))
        self.register_buffer("log_std", torch.zeros(num_dims))

    def set_from(self, h: Tensor) -> None:
        """Take mean and standard deviation of each dimension; a constant one has deviation 1."""
        std, mean = torch.std_mean(h.double(), 0, correction=0)
        varies = std > torch.finfo(h.dtype).eps * mean.abs()
        self.mean.copy_(mean)
        self.log_std.copy_(torch.where(varies, std, 1.0).log())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        self._see(x)
        z = (x - self.mean) * (-self.log_std).exp()
        return z, -self.log_std.sum().expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        self._see()
        return z * self.log_std.exp() + self.mean


class Whitening(Bijection, DataInitialized):
    """z = W (x - mean), W lower triangular with a positive diagonal: Gaussian data become N(0, I).

    W is the inverse of the Cholesky factor of the covariance, log |det W| the sum of the logs of its
    diagonal. The first data give mean and covariance S in closed form; S is drawn towards a multiple
    of the identity, with t = tr S and q = tr S^2,

        (1 - a) S + a (t / D) I,    a = min(1, ((1 - 2/D) q + t^2) / ((N + 1 - 2/D) (q - t^2 / D)))

    (Chen et al., 2010, "Shrinkage algorithms for MMSE covariance estimation", arXiv 0907.4698,
    Eq. 23), which vanishes as the number of rows N grows, and keeps W finite where rows are few or
    dimensions depend on one another.

    Args:
        num_dims: D of vectors (B, D).
    """

    def __init__(self, num_dims: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(num_dims))
        # W with the logs of its diagonal
        self.packed = nn.Parameter(torch.zeros(num_dims, num_dims))

    def set_from(self, h: Tensor) -> None:
        """Set mean and W in closed form."""
        h = h.double()
        n, d = h.shape
        mean = h.mean(0)
        s = (h - mean).T @ (h - mean) / n
        trace, squares = s.trace(), s.square().sum()
        excess = (n + 1 - 2 / d) * (squares - trace.square() / d)
        a = ((1 - 2 / d) * squares + trace.square()) / excess if excess > 0 else s.new_tensor(1.0)
        a = a.clamp(0, 1) if d > 1 else s.new_tensor(0.0)
        eye = torch.eye(d, dtype=s.dtype, device=s.device)
        factor = torch.linalg.cholesky((1 - a) * s + (a * trace / d).clamp(min=1e-12) * eye)
        w = torch.linalg.solve_triangular(factor, eye, upper=False)
        self.mean.copy_(mean)
        self.packed.copy_(w.tril(-1) + w.diagonal().log().diag())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        self._see(x)
        return (x - self.mean) @ self._matrix().T, self.packed.diagonal().sum().expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        self._see()
        x = torch.linalg.solve_triangular(self._matrix(), z.T, upper=False)
        return x.T + self.mean

    def _matrix(self) -> Tensor:
        return self.packed.tril(-1) + self.packed.diagonal().exp().diag()


def first_maps(num_dims: int, standardize: bool, whiten: bool) -> list[Bijection]:
    """Return the maps that bring vectors (B, D) of any units to the scale of a network."""
    maps: list[Bijection] = [Standardize(num_dims)] if standardize else []
    return [*maps, Whitening(num_dims)] if whiten else maps


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
