"""Variational dequantization: the noise of the pixels is drawn from a flow that sees the image.

Ho et al., 2019, "Flow++: Improving flow-based generative models with variational dequantization and
architecture design", arXiv 1902.00275, Sections 3.1 and 3.3.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from gdl.errors import GdlError
from gdl.flows.dequantize import UniformDequantization
from gdl.flows.masked import MaskedCoupling, checkerboard
from gdl.flows.priors import LogisticPrior
from gdl.kernels.log_sigmoid import log_sigmoid
from gdl.nn.coupling_networks import NoiseConditioner
from gdl.noise import uniform

__all__ = ["VariationalDequantization"]


class VariationalDequantization(UniformDequantization):
    """y = (x + u) / levels with u drawn from q(u | x), a flow on (0, 1)^D that sees the image x.

    log P(x) = log int p(y) du levels^-D >= E_q[log p(y) - log q(u | x)] - D log levels (Eq. 12 of the
    paper), which is an equality where q(u | x) is the model's own p(u | x). With eps of independent
    logistic distributions and affine couplings h = f(eps; x) of the pixels in a checkerboard,

        u = w sigmoid(h),
        log q(u | x) = log logistic(eps) - log |det df/deps| - log logistic(h) - D log w.

    The couplings start as the identity, and q as the uniform distribution. w = 1 - `gap`.

    Note:
        The paper's noise is a normal one before couplings of mixtures of logistics; the logistic one
        needs no mixtures to start as the uniform distribution.

    Args:
        levels: Number of values of a pixel.
        shape: (C, H, W) of an image, of any size.
        couplings: Couplings; the pixels that stay alternate.
        width: Channels of the hidden layers of their networks.

    Raises:
        GdlError: A number is below 1.
    """

    kind = "vardeq"

    def __init__(
        self, levels: int, shape: Sequence[int], couplings: int = 4, width: int = 32
    ) -> None:
        super().__init__(levels, shape)
        for name, number in (("noise_couplings", couplings), ("noise_width", width)):
            if number < 1:
                raise GdlError(f"model.{name} must be 1 or more, got {number}.")
        c, h, w = shape
        # neighbours in the channels stay in turn too
        masks = [checkerboard(h, w, odd) for odd in (False, True)]
        self.couplings = cast(
            list[MaskedCoupling],
            nn.ModuleList(
                MaskedCoupling(
                    NoiseConditioner(c, width), torch.cat([masks[(i + k) % 2] for k in range(c)])
                )
                for i in range(couplings)
            ),
        )
        self.top = 1 - self.gap  # w

    def forward(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """See `UniformDequantization.forward`."""
        # rand may return exactly 0, whose logit is -inf
        eps = uniform(x.shape, x.new_empty(0, dtype=dtype)).clamp(min=2.0**-25).logit()
        u, log_q = self._push(eps, self._scaled(x, dtype))
        return (x.to(dtype) + u) / self.levels, -log_q - self.log_volume

    def log_prob(self, u: Tensor, x: Tensor) -> Tensor:
        """Return log q(u | x) (B,) in nats of noise u (B, C, H, W), strictly between 0 and w."""
        image = self._scaled(x, u.dtype)
        h = (u / self.top).logit()
        for coupling in reversed(self.couplings):
            h = coupling.inverse(h, image)
        return self._push(h, image)[1]

    def _scaled(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        return x.to(dtype) * (2 / (self.levels - 1)) - 1

    def _push(self, eps: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noise u (B, C, H, W) of logistic eps and log q(u | x) (B,)."""
        h, log_q = eps, LogisticPrior().log_prob(eps.flatten(1))
        for coupling in self.couplings:
            h, log_det = coupling(h, image)
            log_q = log_q - log_det
        log_slope = math.log(self.top) + log_sigmoid(h) + log_sigmoid(-h)
        return self.top * h.sigmoid(), log_q - log_slope.flatten(1).sum(1)

    def compile_networks(self) -> None:
        """See `UniformDequantization.compile_networks`."""
        for coupling in self.couplings:
            coupling.compile_networks()
