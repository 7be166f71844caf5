"""Operations of flows, see `gdl.explorer.ops`: mixtures of logistics, triangular maps, constants.

`page/flow_ops.js` has the same table in JavaScript.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gdl.flows.mixture import Mixture

__all__ = ["FLOW_OPS"]


def _constant(x: Tensor, tensor: Tensor) -> Tensor:
    """Return copies (B, ...) of a tensor (...), one for each example of x (B, ...)."""
    return tensor.expand(len(x), *tensor.shape)


def _matrix(packed: Tensor) -> Tensor:
    """Return the lower triangular W whose diagonal is given by its logarithms."""
    return packed.tril(-1) + packed.diagonal().exp().diag()


def _triangular(x: Tensor, packed: Tensor) -> Tensor:
    """Return W x of x (B, D), for W of `gdl.flows.Whitening`."""
    return x @ _matrix(packed).T


def _solve_triangular(z: Tensor, packed: Tensor) -> Tensor:
    """Return x (B, D) with W x = z."""
    return torch.linalg.solve_triangular(_matrix(packed), z.T, upper=False).T


def _mixture_logit(x: Tensor, raw: Tensor) -> Tensor:
    """Return logit F(x) (B, D) of x (B, D), with the mixtures `Mixture.of(raw)`, raw (B, D, 3, K)."""
    return Mixture.of(raw).logit(x)[0]


def _mixture_log_slope(x: Tensor, raw: Tensor) -> Tensor:
    """Return the log-slopes (B, D) of `_mixture_logit`."""
    return Mixture.of(raw).logit(x)[1]


def _mixture_invert(z: Tensor, raw: Tensor) -> Tensor:
    """Return x (B, D) with logit F(x) = z, by bisection."""
    return Mixture.of(raw).invert(z)


FLOW_OPS: dict[str, Callable[..., Tensor]] = {
    "constant": _constant,
    "triangular": _triangular,
    "solve_triangular": _solve_triangular,
    "mixture_logit": _mixture_logit,
    "mixture_log_slope": _mixture_log_slope,
    "mixture_invert": _mixture_invert,
}
"""Every operation by its name in a graph."""
