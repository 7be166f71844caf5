"""Which implementation of a stacked bijection runs, and when."""

from enum import Enum

import torch
from torch import Tensor

from gdl.kernels.cpu import by_hand

__all__ = ["Form", "choose"]


class Form(Enum):
    """The implementations of stacked bijections; all compute the same map."""

    FUSED = "fused"
    """One node of the graph, forward and backward pass written by hand, for a CPU."""
    REVERSIBLE = "reversible"
    """No activations are kept: the backward pass inverts the steps."""
    COMPILED = "compiled"
    """A compiled step, on a GPU recorded as CUDA graphs."""
    EAGER = "eager"
    """Plain operations and autograd."""


def choose(
    x: Tensor,
    *,
    inverse: bool = False,
    checkpointed: bool = False,
    reversible: bool = False,
    compiled: bool = False,
) -> Form:
    """Return the form that runs on x.

    - On a CPU in full precision, outside of a compiler, without checkpointing or reversibility:
      FUSED. The inverse has no backward pass by hand, so there it is for calls without gradients.
    - Else an inverse is EAGER.
    - A reversible layer is REVERSIBLE.
    - A compiled layer with gradients is COMPILED.
    - All else is EAGER: evaluation on a GPU, mixed precision on a CPU, checkpointing, a layer inside
      of a graph that is compiled as a whole.

    Args:
        x: Input of the layer.
        inverse: The layer is inverted.
        checkpointed: Its networks' activations are to be recomputed on the way back.
        reversible: All activations are to be recomputed on the way back.
        compiled: `compile_networks` was called.
    """
    fused = by_hand(x) and not (checkpointed or reversible)
    if fused and not (inverse and torch.is_grad_enabled()):
        return Form.FUSED
    if inverse:
        return Form.EAGER
    if reversible:
        return Form.REVERSIBLE
    if compiled and torch.is_grad_enabled():
        return Form.COMPILED
    return Form.EAGER
