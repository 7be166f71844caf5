"""The hidden layers of NADE: one for each prefix of a sequence, with tied weights."""

import torch
from torch import Tensor

from gdl.kernels.cpu import by_hand
from gdl.kernels.tied import TiedOutputs

__all__ = ["prefix_outputs"]


def prefix_outputs(x: Tensor, weight: Tensor, bias: Tensor, output: Tensor, chunk: int) -> Tensor:
    """Return y_i = V_i sigmoid(c + sum over j < i of x_j W_j) for all positions i, (N, B, P).

    Positions are processed in chunks. Within a chunk, the hidden layer of an example changes only
    after an input that is not zero. On a CPU each distinct hidden layer is computed once and
    multiplied with the V of the whole chunk, which takes a few matrix products instead of N B
    hidden layers of H units. On other devices every position is computed, because counting the
    distinct ones would make the host wait for the device.

    Args:
        x: Inputs (N, B).
        weight: W (N, H).
        bias: c (H,), or one for each example (B, H).
        output: V (N, P, H).
        chunk: Positions in a chunk.
    """
    if by_hand(x):
        return TiedOutputs.apply(x, weight, bias, output, chunk)  # pyright: ignore[reportReturnType]
    total, found = bias.expand(x.shape[1], -1), []
    for x_, w, v in zip(*(t.split(chunk) for t in (x, weight, output)), strict=True):
        before = x_.T[:, None] * x.new_ones(len(x_), len(x_)).tril(-1)
        h = (total[:, None] + before @ w).sigmoid()
        found.append(torch.einsum("bth,tph->tbp", h, v))
        total = torch.addmm(total, x_.T, w)
    return torch.cat(found)
