"""The matrices of K invertible 1x1 convolutions in a few batched operations, see `Conv1x1`."""

import torch
from torch import Tensor, nn

__all__ = ["inverse_matrices", "matrices", "random_rotations"]


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
