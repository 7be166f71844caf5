"""What all normalizing flows share: exact density, exact inverse, sampling, latents."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.families.latent import LatentModel
from gdl.families.streaming import StreamingLogMeanExp
from gdl.flows.base import Bijection, initialize
from gdl.flows.dequantize import UniformDequantization, VariationalDequantization
from gdl.flows.priors import Prior
from gdl.flows.vectors import Standardize, Whitening
from gdl.nn.coupling_networks import ConvConditioner
from gdl.noise import SampleNoise

__all__ = ["FlowModel"]


def _log_density(bijection: Bijection, prior: Prior, y: Tensor) -> Tensor:
    z, log_det = bijection(y)
    return prior.log_prob(z) + log_det


def _invert(bijection: Bijection, z: Tensor) -> Tensor:
    return bijection.inverse(z)


class FlowModel(LatentModel):
    """log p(x) = log prior(f(y)) + log |det df/dy| of y = (x + u) / levels, u the dequantization.

    On integer images the nll is an upper bound, the mean over one dequantization sample per image,
    and is called "dequant-1"; `evaluate.py` takes more samples. On continuous data (levels=None)
    there is no dequantization and the nll is exact.

    A model of this family builds `bijection`, from y (B, C, H, W) in [0, 1) to all of its latents
    as vectors (B, D), and chooses the prior.

    Args:
        shape: (C, H, W) of an image, or (D,) of continuous vectors.
        levels: Number of values of a pixel, None for continuous data.
        bijection: The flow.
        prior: Distribution of the latents.
        dequantization: "uniform" or "variational".
    """

    takes_continuous = True
    INIT_IMAGES = 512

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None,
        bijection: Bijection,
        prior: Prior,
        dequantization: str = "uniform",
    ) -> None:
        super().__init__(shape, levels)
        self.latent_shape = (self.num_dims,)
        self.bijection, self.prior = bijection, prior
        self._log_density, self._invert = _log_density, _invert
        self.dequantize: UniformDequantization | None = None
        if levels is None:
            self.nll_kind = "exact"
            return
        self.nll_kind = "dequant-1"
        if dequantization == "uniform":
            self.dequantize = UniformDequantization(levels, self.shape)
        elif dequantization == "variational":
            net = ConvConditioner(self.shape[0], 2 * self.shape[0], width=32, blocks=2)
            self.dequantize = VariationalDequantization(levels, self.shape, net)
        else:
            raise GdlError(
                f"dequantization must be uniform or variational, got {dequantization!r}."
            )

    def initialize(self, x: Tensor) -> None:
        """Set the data-dependent layers from images (N, C, H, W), once; see `ActNorm`.

        A large model looks at fewer images, in proportion to its parameters: on a CPU the 512 that a
        small one can afford would take Glow's 44 million parameters several minutes.
        """
        params = sum(p.numel() for p in self.parameters())
        n = min(self.INIT_IMAGES, max(32, self.INIT_IMAGES * 3_000_000 // params))
        if any(isinstance(m, Standardize | Whitening) for m in self.bijection.modules()):
            n = len(x)  # moments are those of all rows
        initialize(self.bijection, self._continuous(x[:n].to(self.device))[0])

    def compile_networks(self) -> None:
        """Compile the couplings' networks in place, each kind once for all couplings that have it.

        The loop over the couplings stays outside: its graph would take minutes. But a flow with a
        bijection that `compiles_as_a_whole` is one graph, in both directions.
        """
        import torch.compiler.config as limits  # imports the compiler, so only here

        # each level, mode and kind of batch size needs a graph of one network or step
        limits.recompile_limit = max(limits.recompile_limit, 64)
        bijections = [m for m in self.bijection.modules() if isinstance(m, Bijection)]
        if any(b.compiles_as_a_whole for b in bijections):
            self._log_density, self._invert = torch.compile(_log_density), torch.compile(_invert)
        for bijection in bijections:
            bijection.compile_networks()
        if self.dequantize is not None:
            self.dequantize.compile_networks()

    def _continuous(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return real images y and the term (B,) that log p(y) lacks to bound log P(x)."""
        if self.dequantize is None:
            y = x.to(self.dtype)
            return y, y.new_zeros(len(y))
        return self.dequantize(x, self.dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) (B,) in nats; for integer images one draw of the dequantization bound."""
        y, term = self._continuous(x)
        return self._log_density(self.bijection, self.prior, y) + term

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """Return loss = nll (B,) in nats."""
        nll = -self.log_prob(x)
        return {"loss": nll, "nll": nll}

    def nll(self, x: Tensor, k: int = 1) -> Tensor:
        """Return -log p(x) (B,) in nats; of integer images the bound from k dequantization samples.

        -log P(x) <= -E log (1 / k) sum_k p(y_k) / q(y_k | x); k = 1 is the usual one, more are tighter
        (Hoogeboom et al., 2021, "Learning discrete distributions by dequantization", arXiv 2001.11235).
        """
        stream = StreamingLogMeanExp()
        for _ in range(1 if self.dequantize is None else k):
            stream.add(self.log_prob(x)[None])
        return -stream.value()

    # ---- capabilities

    def encode(self, x: Tensor) -> Tensor:
        """Return all latents (B, D); an integer pixel stands for the middle of its cell."""
        if self.dequantize is None:
            return self.bijection(x.to(self.dtype))[0]
        return self.bijection((x.to(self.dtype) + 0.5) / self.dequantize.levels)[0]

    def decode(self, z: Tensor) -> Tensor:
        """Return images (B, C, H, W), real numbers in [0, levels - 1], of latents (B, D)."""
        y = self._invert(self.bijection, z)
        if self.levels is None:
            return y
        return (y * self.levels - 0.5).clamp(0, self.levels - 1)

    def sample(
        self, n: int, *, seed: int = 0, temperature: float = 1.0, mean: bool = False
    ) -> Tensor:
        """Return n samples (n, C, H, W); sample k depends on (seed, k) only.

        Args:
            n: Number of samples.
            seed: Seed of the whole set.
            temperature: Multiplies all latents, also where a learned split prior follows.
            mean: Without meaning for a flow, which has no noise behind its latents.
        """
        y = self.sample_continuous(n, seed=seed, temperature=temperature)
        return y if self.dequantize is None else self.dequantize.inverse(y)

    def sample_continuous(self, n: int, *, seed: int = 0, temperature: float = 1.0) -> Tensor:
        """Return n draws (n, C, H, W) of the continuous y, before they are rounded to pixels."""
        chunks = []
        with torch.inference_mode():
            for indices in torch.arange(n).split(100):
                noise = SampleNoise(seed, indices.tolist(), self.device, self.dtype)
                z = temperature * self.prior.sample(noise, self.num_dims)
                chunks.append(self._invert(self.bijection, z))
        # outside of inference mode, so that gradients with respect to samples can be taken
        return torch.cat(chunks)
