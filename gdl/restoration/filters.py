"""Filters that smooth an image, and that enlarge one; batched, on any device."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["KERNELS", "enlarged", "gaussian_filter", "median_filter", "total_variation"]


def _by_matrices(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return images (B, C, H', W') whose rows and columns are weighted means of those of x."""
    return rows.to(x) @ x @ columns.to(x).T


def _weights(out: Tensor, size: int, kernel: Callable[[Tensor], Tensor], radius: int) -> Tensor:
    """Return the matrix (H', H) of weights of a kernel around the positions `out` (H',) of an axis.

    Positions outside of the axis are those of the pixel at its end.
    """
    near = out.floor().long()[:, None] + torch.arange(-radius, radius + 1)
    weights = kernel(near - out[:, None])
    matrix = torch.zeros(len(out), size, dtype=out.dtype)
    matrix.scatter_add_(1, near.clamp(0, size - 1), weights)
    return matrix / matrix.sum(1, keepdim=True)


def gaussian_filter(x: Tensor, width: float) -> Tensor:
    """Return images (B, C, H, W) smoothed by a Gaussian, the pixels at the border repeated outside.

    Args:
        x: The images.
        width: Standard deviation in pixels; the kernel ends after 4 of them.
    """
    kernel = lambda d: torch.exp(-d.square() / (2 * width**2))  # noqa: E731
    of = lambda size: _weights(torch.arange(size).double(), size, kernel, int(4 * width + 0.5))  # noqa: E731
    return _by_matrices(x, *map(of, x.shape[-2:]))


def median_filter(x: Tensor, size: int) -> Tensor:
    """Return the median of size x size pixels around each one, the border repeated outside.

    Args:
        x: Images (B, C, H, W).
        size: An odd number of pixels.
    """
    padded = F.pad(x, [size // 2] * 4, mode="replicate")
    windows = padded.unfold(-2, size, 1).unfold(-2, size, 1)
    return windows.flatten(-2).median(-1).values


def _gradient(x: Tensor) -> Tensor:
    """Return forward differences (2, B, C, H, W) down and to the right, 0 at the last pixel."""
    return torch.stack([F.pad(x.diff(dim=-2), (0, 0, 0, 1)), F.pad(x.diff(dim=-1), (0, 1))])


def _divergence(p: Tensor) -> Tensor:
    """Return minus the adjoint of `_gradient`."""
    down, right = p[0][..., :-1, :], p[1][..., :-1]
    return (
        F.pad(down, (0, 0, 0, 1))
        - F.pad(down, (0, 0, 1, 0))
        + F.pad(right, (0, 1))
        - F.pad(right, (1, 0))
    )


def total_variation(y: Tensor, weight: float, steps: int = 40) -> Tensor:
    """Return about the minimum of |x - y|^2 / 2 + weight TV(x), of each channel by itself.

    TV(x) is the sum over pixels of the length of the gradient (Rudin, Osher & Fatemi, 1992). The dual
    is solved by the fixed-point iteration of Chambolle, 2004, "An algorithm for total variation
    minimization and applications", Eq. 9, with the step 1/4 that he recommends.

    Args:
        y: Images (B, C, H, W).
        weight: How much is smoothed.
        steps: Iterations.
    """
    p = torch.zeros(2, *y.shape, dtype=y.dtype, device=y.device)
    for _ in range(steps):
        g = _gradient(_divergence(p) - y / weight)
        p = (p + g / 4) / (1 + g.square().sum(0).sqrt() / 4)
    return y - weight * _divergence(p)


def _cubic(d: Tensor) -> Tensor:
    """Return Keys' cubic kernel with a = -0.5 (Keys, 1981, "Cubic convolution interpolation")."""
    d = d.abs()
    inside, outside = (1.5 * d - 2.5) * d**2 + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
    return torch.where(d < 1, inside, torch.where(d < 2, outside, 0.0))


KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "nearest": lambda d: ((d > -0.5) & (d <= 0.5)).double(),
    "bilinear": lambda d: (1 - d.abs()).clamp(min=0),
    "bicubic": _cubic,
}
"""Kernels of interpolation, functions of a distance in pixels."""


def enlarged(y: Tensor, size: tuple[int, int], kind: str, first: tuple[float, float]) -> Tensor:
    """Return images enlarged by interpolation, the pixels at the border repeated outside.

    Args:
        y: Images (B, C, H', W').
        size: (H, W) afterwards.
        kind: A key of `KERNELS`.
        first: Row and column where the first pixel of y stands among the new ones: 0.5 and 0.5 if it
            is a mean of 2 x 2.
    """
    matrices = []
    for new, old, start in zip(size, y.shape[-2:], first, strict=True):
        at = (torch.arange(new).double() - start) / (new / old)
        matrices.append(_weights(at, old, KERNELS[kind], 3))
    return _by_matrices(y, *matrices)
