"""What all normalizing flows share: exact density, exact inverse, sampling, latents."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.families.latent import LatentModel
from gdl.families.streaming import StreamingLogMeanExp
from gdl.flows.base import Bijection, initialize
from gdl.flows.dequantize import UniformDequantization
from gdl.flows.priors import ClassPrior, Prior
from gdl.flows.variational import VariationalDequantization
from gdl.flows.vectors import Standardize, Whitening
from gdl.noise import SampleNoise

__all__ = ["FlowModel"]


def _log_density(bijection: Bijection, prior: Prior, v: Tensor) -> Tensor:
    z, log_det = bijection(v)
    return prior.log_prob(z) + log_det


def _log_density_given(bijection: Bijection, prior: ClassPrior, v: Tensor, y: Tensor) -> Tensor:
    z, log_det = bijection(v)
    return prior.log_prob(z, y) + log_det


def _log_densities(bijection: Bijection, prior: ClassPrior, v: Tensor) -> Tensor:
    """Return log p(v | y) (B, rows) of all rows y, with one pass through the bijection."""
    z, log_det = bijection(v)
    return prior.log_probs(z) + log_det[:, None]


def _invert(bijection: Bijection, z: Tensor) -> Tensor:
    return bijection.inverse(z)


class FlowModel(LatentModel):
    """log p(x) = log prior(f(v)) + log |det df/dv| of v = (x + u) / levels, u the dequantization.

    On integer images the nll is an upper bound, the mean over one dequantization sample per image. It
    is called "dequant-1" where the noise is uniform and "vardeq-1" where it is drawn from a flow that
    is trained too (`gdl.flows.variational`); `evaluate.py` takes more samples. On continuous data
    (levels=None) there is no dequantization and the nll is exact.

    A conditional flow has a prior per class, see `ClassPrior`: f is the same for all classes, and the
    labels are not among the inputs of its networks. So latents are encoded and decoded without labels,
    and all p(x | y) cost one pass through f.

    A model of this family builds `bijection`, from v (B, C, H, W) in [0, 1) to all of its latents
    as vectors (B, D), and chooses the prior.

    Args:
        shape: (C, H, W) of an image, or (D,) of continuous vectors.
        levels: Number of values of a pixel, None for continuous data.
        bijection: The flow.
        prior: Distribution of the latents.
        dequantization: "uniform" or "variational".
        noise_couplings: Couplings of the noise's flow, of variational dequantization.
        noise_width: Hidden channels of their networks.
        num_classes: Number of labels of a conditional flow, see `ClassLabels`.
        label_dropout: See `ClassLabels`.

    Raises:
        GdlError: There is no such dequantization, or a number is below 1.
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
        noise_couplings: int = 4,
        noise_width: int = 32,
        num_classes: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        super().__init__(shape, levels, num_classes, label_dropout)
        self.latent_shape = (self.num_dims,)
        self.bijection, self.prior = bijection, prior
        self.class_prior = None
        if num_classes:
            self.class_prior = ClassPrior(prior, self.label_rows, self.num_dims)
        self._log_density, self._invert = _log_density, _invert
        self._log_density_given, self._log_densities = _log_density_given, _log_densities
        self.dequantize: UniformDequantization | None = None
        if levels is None:
            self.nll_kind = "exact"
            return
        if dequantization == "uniform":
            self.dequantize = UniformDequantization(levels, self.shape)
        elif dequantization == "variational":
            self.dequantize = VariationalDequantization(
                levels, self.shape, noise_couplings, noise_width
            )
        else:
            raise GdlError(
                f"model.dequantization must be uniform or variational, got {dequantization!r}."
            )
        self.nll_kind = f"{self.dequantize.kind}-1"

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
            for function in (_log_density, _log_density_given, _log_densities, _invert):
                setattr(self, function.__name__, torch.compile(function))
        for bijection in bijections:
            bijection.compile_networks()
        if self.dequantize is not None:
            self.dequantize.compile_networks()

    def _continuous(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return real images v and the term (B,) that log p(v) lacks to bound log P(x)."""
        if self.dequantize is None:
            v = x.to(self.dtype)
            return v, v.new_zeros(len(v))
        return self.dequantize(x, self.dtype)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x) (B,) in nats, or log p(x | y); of integer images one draw of the bound.

        Args:
            x: Images (B, C, H, W) uint8, or vectors (B, D).
            y: Labels (B,) int64, -1 where unknown; None for all unknown, or for a model without labels.
        """
        if self.class_prior is None:
            self.refuse_labels(y)
            v, term = self._continuous(x)
            return self._log_density(self.bijection, self.prior, v) + term
        if self.label_dropout:
            y = self._rows_or_left_out(x, y)
        elif y is None or not self._all_known(y):
            return self._summed(self._class_log_probs(x), y)
        v, term = self._continuous(x)
        return self._log_density_given(self.bijection, self.class_prior, v, y) + term

    def _class_log_probs(self, x: Tensor) -> Tensor:
        """Return log p(x | y) (B, num_classes) of every label, with the same noise for all."""
        assert self.class_prior is not None
        v, term = self._continuous(x)
        rows = self._log_densities(self.bijection, self.class_prior, v)
        return rows[:, : self.num_classes] + term[:, None]

    def _summed(self, log_probs: Tensor, y: Tensor | None) -> Tensor:
        """Return log p(x | y) (B,), where y is unknown log p(x), given every log p(x | y) (B, K)."""
        marginal = (self.log_class_prior.to(log_probs) + log_probs).logsumexp(1)
        if y is None:
            return marginal
        given = log_probs.gather(1, y.clamp(min=0)[:, None])[:, 0]
        return torch.where(y < 0, marginal, given)

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return loss = nll (B,) in nats, of p(x | y) where labels are given."""
        nll = -(self.log_prob(x) if y is None else self.log_prob(x, y))
        return {"loss": nll, "nll": nll}

    def nll(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> Tensor:
        """Return -log p(x) or -log p(x | y) (B,) in nats; of integer images a bound from k draws.

        -log P(x) <= -E log (1 / k) sum_k p(v_k) / q(v_k | x); k = 1 is the usual one, more are tighter
        (Hoogeboom et al., 2021, "Learning discrete distributions by dequantization", arXiv 2001.11235).
        """
        return -self._averaged(lambda: self.log_prob(x, *([] if y is None else [y])), k)

    def class_nll(self, x: Tensor, k: int = 1) -> Tensor:
        """Return -log p(x | y) (B, num_classes) in nats, see `nll`, with the same noise for all y."""
        if self.class_prior is None:
            return super().class_nll(x, k)  # which refuses
        return -self._averaged(lambda: self._class_log_probs(x), k)

    def _averaged(self, log_prob: Callable[[], Tensor], k: int) -> Tensor:
        """Return the log of the mean of k probabilities, of one where there is no noise."""
        stream = StreamingLogMeanExp()
        for _ in range(1 if self.dequantize is None else k):
            stream.add(log_prob()[None])
        return stream.value()

    # ---- capabilities

    def middle(self, x: Tensor) -> Tensor:
        """Return the continuous v (B, C, H, W) of images; a pixel stands for the middle of its cell."""
        if self.dequantize is None:
            return x.to(self.dtype)
        return (x.to(self.dtype) + 0.5) / self.dequantize.levels

    def latents(self, v: Tensor) -> Tensor:
        """Return the latents (B, D) of continuous v (B, C, H, W), differentiable."""
        return self.bijection(v)[0]

    def log_density(self, v: Tensor) -> Tensor:
        """Return log p(v) (B,) in nats of continuous v (B, C, H, W), differentiable.

        A conditional flow sums over its labels, or has parameters for an unknown one.
        """
        if self.class_prior is None:
            return self._log_density(self.bijection, self.prior, v)
        rows = self._log_densities(self.bijection, self.class_prior, v)
        if self.label_dropout:
            return rows[:, self.num_classes]
        return self._summed(rows, None)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return all latents (B, D); an integer pixel stands for the middle of its cell.

        They do not depend on the labels y.
        """
        return self.latents(self.middle(x))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return images (B, C, H, W), real numbers in [0, levels - 1], of latents (B, D).

        They do not depend on the labels y.
        """
        v = self._invert(self.bijection, z)
        if self.levels is None:
            return v
        return (v * self.levels - 0.5).clamp(0, self.levels - 1)

    def sample(
        self,
        n: int,
        *,
        label: int | Tensor | None = None,
        seed: int = 0,
        temperature: float = 1.0,
        mean: bool = False,
    ) -> Tensor:
        """Return n samples (n, C, H, W); sample k depends on (seed, k) only.

        Args:
            n: Number of samples.
            label: A label for all samples or one for each (n,); None draws them from p(y).
            seed: Seed of the whole set.
            temperature: Multiplies all latents, also where a learned split prior follows; of a
                conditional flow their deviation from the mean of the class.
            mean: Without meaning for a flow, which has no noise behind its latents.
        """
        v = self.sample_continuous(n, label=label, seed=seed, temperature=temperature)
        return v if self.dequantize is None else self.dequantize.inverse(v)

    def sample_continuous(
        self,
        n: int,
        *,
        label: int | Tensor | None = None,
        seed: int = 0,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return n draws (n, C, H, W) of the continuous v, before they are rounded to pixels."""
        labels, chunks = self.checked_labels(label, n), []
        with torch.inference_mode():
            for indices in torch.arange(n).split(100):
                noise = SampleNoise(seed, indices.tolist(), self.device, self.dtype)
                z = temperature * self.prior.sample(noise, self.num_dims)
                rows = self._labels_of_samples(labels, indices, seed)
                if self.class_prior is not None and rows is not None:
                    z = self.class_prior.place(z, rows)
                chunks.append(self._invert(self.bijection, z))
        # outside of inference mode, so that gradients with respect to samples can be taken
        return torch.cat(chunks)
