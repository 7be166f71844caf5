"""Foreign images that are made and not loaded."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

__all__ = ["SYNTHETIC", "Make"]

Make = Callable[[Tensor, int, Generator], Tensor]
"""Maps test images (N, C, H, W) uint8, the number of levels and a generator to foreign images."""


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


def shuffled(x: Tensor, levels: int, generator: Generator) -> Tensor:
    """Return the test images with their pixels in random order, another one for each image."""
    flat = x.flatten(2)
    order = torch.rand(len(x), 1, flat.shape[2], generator=generator).argsort(2)
    return flat.gather(2, order.expand_as(flat)).view_as(x)


def mirrored(x: Tensor, levels: int, generator: Generator) -> Tensor:
    """Return the test images with left and right exchanged."""
    return x.flip(3)


def upside_down(x: Tensor, levels: int, generator: Generator) -> Tensor:
    """Return the test images with top and bottom exchanged."""
    return x.flip(2)


def brighter(x: Tensor, levels: int, generator: Generator) -> Tensor:
    """Return the test images with each pixel halfway to white."""
    return ((x.int() + levels) // 2).to(torch.uint8)


def darker(x: Tensor, levels: int, generator: Generator) -> Tensor:
    """Return the test images with each pixel halfway to black."""
    return x // 2


SYNTHETIC: dict[str, Make] = {
    **{"noise": noise, "constant": constant, "inverted": inverted, "shuffled": shuffled},
    **{"mirrored": mirrored, "upside_down": upside_down, "brighter": brighter, "darker": darker},
}
"""By the name that data=[...] has for them; x is on the CPU."""
