"""Maps of vectors, as NICE needs them: an image as a vector, its dimensions reordered, scaled."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gdl.flows.base import Bijection, DataInitialized

__all__ = ["Flatten", "Permutation", "Scale"]


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
