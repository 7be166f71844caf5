"""How far the latents are from independent."""

import torch
from torch import Tensor

__all__ = ["gaussian_total_correlation"]


def gaussian_total_correlation(codes: Tensor) -> float:
    """Return KL(N(m, S), N(m, diag S)) in nats, of mean m and covariance S of the codes (N, L).

    That is -log det(correlations) / 2: 0 if and only if no two latents are correlated. It needs no
    factors, sees no other dependence than correlation, and says nothing on what the latents stand for.
    Constant latents do not count. Latents that are functions of each other would give infinity; the
    eigenvalues are at least 1e-12.
    """
    x = codes.double()
    x = x[:, x.std(0) > 1e-6 * x.abs().amax(0).clamp(min=1e-12)]
    if x.shape[1] < 2:
        return 0.0
    eigenvalues = torch.linalg.eigvalsh(torch.corrcoef(x.T))
    return float(-0.5 * eigenvalues.clamp(min=1e-12).log().sum().clamp(max=0))
