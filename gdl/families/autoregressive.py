"""The base class of autoregressive models: exact density, ancestral sampling, completion of images."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gdl.distributions import Likelihood, default_conditional
from gdl.errors import GdlError
from gdl.families.ancestral import Block, PositionSteps, draw_in_order, num_final
from gdl.families.base import GenerativeModel
from gdl.families.order import pixel_order
from gdl.noise import SampleNoise

__all__ = ["AutoregressiveModel"]


class AutoregressiveModel(GenerativeModel):
    r"""p(x) = prod_i p(x_i | x_0, ..., x_{i-1}) over the positions of an image, in a fixed order.

    Inside, an image is a sequence (B, N, V) of N positions with V integers each. The pixels are
    visited in `order`. Each channel of a pixel is a position (N = H W C, V = 1; the channels of a
    pixel follow one another), or, with `joint_channels`, each pixel is one (N = H W, V = C).

    A subclass writes `params`, which returns for each position the P parameters of its distribution
    given the earlier positions, in one pass. Density, sampling and completion follow. It may also
    write `steps`, if it can compute some positions with less work than a whole pass. It adds `bias`
    (N, P) to its output; `initialize` sets it so that the model starts as independent pixels.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
        likelihood: Called with the shape (V, N, 1) and levels; see `gdl.distributions`.
        order: Order of the pixels, see `gdl.families.order.pixel_order`. It is saved with the model.

    Raises:
        GdlError: The order is unknown, or the likelihood does not fit the levels.
    """

    joint_channels = False
    """Whether all channels of a pixel are one position."""

    SAMPLES_AT_ONCE = 256
    """Images that are sampled together, which bounds the memory."""

    orders: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        likelihood: Callable[..., Likelihood] = default_conditional,
        order: str = "raster",
    ) -> None:
        super().__init__(shape, levels)
        channels, height, width = self.shape
        self.values = channels if self.joint_channels else 1
        self.num_positions = self.num_dims // self.values
        self.likelihood = likelihood((self.values, self.num_positions, 1), levels)
        # one row per order; only a mixture over orders has several, and uses one at a time
        self.register_buffer("orders", pixel_order(order, height, width)[None])
        self.member = 0
        self.bias = nn.Parameter(torch.zeros(self.num_positions, self.likelihood.num_params))

    @abstractmethod
    def params(self, s: Tensor) -> Tensor:
        """Return the parameters (B, N, P) of all positions of sequences s (B, N, V) uint8.

        The parameters of position i depend on s[:, :i] only.
        """

    def steps(self, n: int) -> PositionSteps:
        """Yield the parameters of one block of positions after the other; see `PositionSteps`.

        This version works for every model. It takes whole passes, each of which makes the positions
        final up to the first that was guessed wrongly.
        """
        s = torch.zeros(n, self.num_positions, self.values, dtype=torch.uint8, device=self.device)
        start = 0
        while start < self.num_positions:
            values = yield Block(start, self.params(s)[:, start:])
            final = num_final(values, s[:, start:])
            s[:, start:] = values
            start += final

    def _naive_steps(self, n: int) -> PositionSteps:
        """Yield one position per whole pass."""
        s = torch.zeros(n, self.num_positions, self.values, dtype=torch.uint8, device=self.device)
        for i in range(self.num_positions):
            s[:, i : i + 1] = yield Block(i, self.params(s)[:, i : i + 1])

    def initialize(self, x: Tensor) -> None:
        """Set `bias` so that the model starts as independent pixels fitted to images (N, C, H, W)."""
        s = self.sequence(x.to(self.device)).transpose(1, 2)[..., None]
        self.bias.data.copy_(self.likelihood.initial_params(s).squeeze(-1).T)

    # ---- images and sequences

    @property
    def order(self) -> Tensor:
        """The raster indices (H W,) of the pixels in the order in which they are visited."""
        return self.orders[self.member]

    def sequence(self, x: Tensor) -> Tensor:
        """Return images (B, C, H, W) as sequences (B, N, V)."""
        pixels = _permuted(x.flatten(2), self.order).transpose(1, 2)
        return pixels.reshape(len(x), self.num_positions, self.values)

    def image(self, s: Tensor) -> Tensor:
        """Return sequences (B, N, V) as images (B, C, H, W)."""
        pixels = s.reshape(len(s), len(self.order), -1).transpose(1, 2)
        return _permuted(pixels, self.order.argsort()).reshape(len(s), *self.shape)

    def unit(self, s: Tensor) -> Tensor:
        """Return integers of any shape scaled to [0, 1], as input of a network."""
        assert self.levels is not None
        return s.to(self.dtype) if self.levels == 2 else s.to(self.dtype) / (self.levels - 1)

    # ---- density

    def position_log_probs(self, x: Tensor) -> Tensor:
        """Return log p(x_i | x_<i) (B, N) in nats, in the model's order."""
        s = self.sequence(x)
        params = self.params(s).to(self.dtype)
        # under mixed precision only the networks run in low precision
        with torch.autocast(x.device.type, enabled=False):
            # each position is an image of one pixel
            each = self.likelihood.log_prob(_pixel(params.flatten(0, 1)), _pixel(s.flatten(0, 1)))
        return each.view(s.shape[:2])

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) (B,) in nats."""
        return self.position_log_probs(x).sum(-1)

    def log_prob_given(self, x: Tensor, known: Tensor) -> Tensor:
        """Return the log-probability (B,) in nats of the unknown pixels of x, given the known ones.

        It is the sum of log p(x_i | x_<i) over the unknown positions, which is the log-probability
        with which `sample_given` draws them. It equals log p(unknown | known) if all known pixels
        come before all unknown ones, see `known_come_first`.

        Args:
            x: Images (B, C, H, W) uint8.
            known: Boolean mask (C, H, W) or (B, C, H, W).
        """
        hole = ~self._known_positions(known.expand_as(x))
        return (self.position_log_probs(x) * hole).sum(-1)

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """Return loss = nll (B,) in nats."""
        nll = -self.log_prob(x)
        return {"loss": nll, "nll": nll}

    # ---- sampling

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        mean: bool = False,
        naive: bool = False,
    ) -> Tensor:
        """Return n samples (n, C, H, W) uint8; sample k depends on (seed, k) only.

        Args:
            n: Number of samples.
            seed: Seed of the whole set.
            temperature: Divides the logits, or multiplies the scales, of each conditional; 0 takes
                the most likely value.
            mean: Ignored, because the model has no latents whose mean image could be shown.
            naive: Use one whole pass per position; for tests and benchmarks.
        """
        nothing = torch.zeros(self.shape, dtype=torch.uint8, device=self.device)
        return self.sample_given(
            n, nothing, nothing.bool(), seed=seed, temperature=temperature, naive=naive
        )

    def sample_given(
        self,
        n: int,
        given: Tensor,
        known: Tensor,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        naive: bool = False,
    ) -> Tensor:
        """Return n completions (n, C, H, W) uint8; completion k depends on (seed, k) only.

        They are samples of p(unknown | known) if all known pixels come before all unknown ones, see
        `known_come_first`. A known pixel that comes later keeps its value, but the unknown pixels
        before it are drawn without looking at it. A mask that splits the channels of a pixel which
        the model draws together is refused with a GdlError.

        Args:
            n: Number of completions.
            given: An image (C, H, W) uint8, or one for each completion (n, C, H, W).
            known: Boolean mask, (C, H, W) or (n, C, H, W), of the pixels of `given` to keep.
            seed: Seed of the whole set.
            temperature: See `sample`.
            naive: See `sample`.
        """
        given, known = (t.to(self.device).expand(n, *self.shape) for t in (given, known))
        options = {"seed": seed, "temperature": temperature, "naive": naive}
        with torch.inference_mode():
            parts = [
                self._complete(k.tolist(), given[k], known[k], **options)
                for k in torch.arange(n).split(self.SAMPLES_AT_ONCE)
            ]
        # outside of inference mode, so that callers can take gradients with respect to samples
        return torch.cat(parts)

    def _complete(
        self,
        indices: Sequence[int],
        given: Tensor,
        known: Tensor,
        seed: int,
        temperature: float,
        naive: bool,
    ) -> Tensor:
        """Return the completions (n, C, H, W) with the given indices in the set of that seed."""
        given, keep = self.sequence(given), self._known_positions(known)
        source = SampleNoise(seed, indices, self.device, self.dtype)
        # all noise at once: a generator call per sample and position would cost more than the model
        noise = temperature * self.likelihood.noise(source, self.num_positions, 1).squeeze(-1)
        noise = noise.movedim(2, 0).contiguous()
        steps = self._naive_steps(len(given)) if naive else self.steps(len(given))
        return self.image(draw_in_order(steps, self.likelihood, noise, given, keep))

    def known_come_first(self, known: Tensor) -> bool:
        """Return whether all known pixels come before all unknown ones, in each mask (..., C, H, W)."""
        keep = self._known_positions(known.reshape(-1, *self.shape)).int()
        return bool((keep.diff(dim=1) <= 0).all())

    def _known_positions(self, known: Tensor) -> Tensor:
        """Return the known positions (B, N) of masks (B, C, H, W).

        Raises:
            GdlError: A mask splits the channels of a pixel that is one position.
        """
        keep = self.sequence(known)
        if not torch.equal(keep.any(-1), keep.all(-1)):
            raise GdlError(
                f"{type(self).__name__} draws the channels of a pixel together, so the mask must be "
                "the same for all of them: use one mask (H, W) for all channels."
            )
        return keep.all(-1)


def _pixel(t: Tensor) -> Tensor:
    """Return (n, P) as images of one pixel (n, P, 1, 1)."""
    return t.view(*t.shape, 1, 1)


def _permuted(t: Tensor, order: Tensor) -> Tensor:
    """Return t[:, :, order] for t (B, C, M); gather is ten times as fast as indexing on a CPU."""
    return t.gather(2, order.expand(*t.shape[:2], -1))
