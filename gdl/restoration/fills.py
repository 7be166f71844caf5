"""Fills the unknown pixels of images from the known ones of the same image; batched."""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["harmonic_fill", "mean_of_known"]


def mean_of_known(y: Tensor, known: Tensor) -> Tensor:
    """Return the mean (B, C, 1, 1) of the known pixels of each channel; 0.5 where there are none."""
    count = known.sum((-2, -1), keepdim=True)
    mean = (y * known).sum((-2, -1), keepdim=True) / count.clamp(min=1)
    return torch.where(count > 0, mean, 0.5)


def _laplacian(x: Tensor) -> Tensor:
    """Return the sum of the differences of each pixel to its neighbours in the image."""
    down, right = x.diff(dim=-2), x.diff(dim=-1)
    flow = F.pad(down, (0, 0, 1, 0)) - F.pad(down, (0, 0, 0, 1))
    return flow + F.pad(right, (1, 0)) - F.pad(right, (0, 1))


def harmonic_fill(y: Tensor, known: Tensor, steps: int = 500, tolerance: float = 1e-6) -> Tensor:
    """Return images in which every unknown pixel is the mean of its neighbours in the image.

    That is Laplace's equation with the known pixels as boundary values, solved for all images at once
    by conjugate gradients. An unknown pixel of y is not looked at. A channel without a known pixel
    stays 0.5.

    Args:
        y: Images (B, C, H, W).
        known: Boolean (B, C, H, W).
        steps: Iterations at most.
        tolerance: The largest deviation of a pixel from the mean, times its neighbours, that is left.
    """
    total = lambda t: t.sum((-2, -1), keepdim=True)  # noqa: E731
    x = torch.where(known, y, mean_of_known(y, known))
    residual = -_laplacian(x) * ~known
    direction, size = residual, total(residual.square())
    for _ in range(steps):
        if float(residual.abs().max()) <= tolerance:
            break
        image = _laplacian(direction) * ~known
        length = size / total(direction * image).clamp(min=1e-30)
        x, residual = x + length * direction, residual - length * image
        before, size = size, total(residual.square())
        direction = residual + size / before.clamp(min=1e-30) * direction
    return x
