"""Foreign images that are made and not loaded."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

__all__ = ["SYNTHETIC", "Make"]

Make = Callable[[Tensor, int, Generator], Tensor]
"""Maps test images (N, C, H, W) uint8, their number of levels and a seeded generator to foreign ones."""


def noise(x: Tensor, levels: int, generator: Generator) -> Tensor:
    """Return images whose pixels are independent and uniform on all levels."""
    return torch.randint(levels, x.shape, generator=generator, dtype=torch.uint8)


def constant(x: Tensor, levels: int, generator: Generator) -> Tensor:
    """Return images of one colour each, uniform on all colours."""
    colour = torch.randint(levels, (*x.shape[:2], 1, 1), generator=generator, dtype=torch.uint8)
    return colour.expand(x.shape).contiguous()


def inverted(x: Tensor, levels: int, generator: Generator) -> Tensor:
    """Return the negatives of the test images."""
    return (levels - 1 - x.int()).to(torch.uint8)


SYNTHETIC: dict[str, Make] = {"noise": noise, "constant": constant, "inverted": inverted}
"""By the name that data=[...] has for them; x is on the CPU."""
