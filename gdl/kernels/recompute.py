"""Activations that are computed again on the way back, instead of being kept."""

from collections.abc import Callable
from typing import TypeVar, cast

from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ["T", "recomputed"]


T = TypeVar("T")


def recomputed(net: Callable[..., T], *inputs: Tensor) -> T:
    """Return net(*inputs) without keeping activations: they are computed again on the way back.

    The network must draw no random numbers. Training costs one more forward pass of it.
    """
    return cast(T, checkpoint(net, *inputs, use_reentrant=False, preserve_rng_state=False))
