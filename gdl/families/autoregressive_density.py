"""The exact density of an autoregressive model: of images, of parts of them, of targets of pairs."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gdl.capabilities import Incapable
from gdl.distributions import Likelihood, default_conditional
from gdl.errors import GdlError
from gdl.families.sequences import PixelSequences
from gdl.families.targets import checked_ends, in_target
from gdl.nn.class_bias import ClassBias

__all__ = ["AutoregressiveDensity"]


class AutoregressiveDensity(PixelSequences):
    """The part of an `AutoregressiveModel` that scores images; its arguments stand there."""

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        likelihood: Callable[..., Likelihood] = default_conditional,
        order: str = "raster",
        num_classes: int = 0,
        label_dropout: float = 0.0,
        ends: Sequence[int] | None = None,
    ) -> None:
        super().__init__(shape, levels, order, num_classes, label_dropout)
        self.ends = checked_ends(ends, self.shape, levels, self.orders)
        if self.ends is not None:
            self.nll_kind = "given-source"
        self.likelihood = likelihood((self.values, self.num_positions, 1), levels)
        self.bias = nn.Parameter(torch.zeros(self.num_positions, self.likelihood.num_params))
        self.class_bias = ClassBias(self.label_rows, *self.bias.shape)

    @abstractmethod
    def params(self, s: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the parameters (B, N, P) of all positions of sequences s (B, N, V) uint8.

        The parameters of position i depend on s[:, :i] only, and of a conditional model on the rows
        y (B,), see `label_rows`. A model without labels may leave out y, also in `steps`.
        """

    def _params_given(self, y: Tensor | None) -> Callable[[Tensor], Tensor]:
        return self.params if y is None else lambda s: self.params(s, y)

    def biases(self, y: Tensor | None) -> Tensor:
        """Return the biases of the output, (N, P), or (B, N, P) for the classes of images."""
        shift = self.class_bias.of(y)
        return self.bias if shift is None else self.bias + shift

    def initialize(self, x: Tensor) -> None:
        """Set `bias` so that the model starts as independent pixels fitted to images (N, C, H, W)."""
        s = self.sequence(x.to(self.device)).transpose(1, 2)[..., None]
        self.bias.data.copy_(self.likelihood.initial_params(s).squeeze(-1).T)

    def position_log_probs(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x_i | x_<i) (B, N) in nats, in the model's order.

        Args:
            x: Images (B, C, H, W) uint8.
            y: Of a conditional model, which then has log p(x_i | x_<i, y), the row (B,) of each image,
                see `label_rows`.

        Raises:
            GdlError: A conditional model is given no rows.
        """
        if y is None and self.num_classes:
            raise GdlError(
                "A conditional model scores the pixels of an image given its label: y=."
            )
        s = self.sequence(x)
        params = self._params_given(y)(s).to(self.dtype)
        # under mixed precision only the networks run in low precision
        with torch.autocast(x.device.type, enabled=False):
            # each position is an image of one pixel
            each = self.likelihood.log_prob(_pixel(params.flatten(0, 1)), _pixel(s.flatten(0, 1)))
        return each.view(s.shape[:2])

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x) (B,) in nats, or log p(x | y) of labels y (B,) where they are not -1.

        Of pairs of texts it is log p(target | source).
        """
        return self.over_labels(x, y, self._log_prob)

    def _log_prob(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return log p(x) (B,) given rows y (B,), see `label_rows`."""
        each = self.position_log_probs(x, y)
        return (each if self.ends is None else each.where(self.in_target(x), 0)).sum(-1)

    def in_target(self, x: Tensor) -> Tensor:
        """Return which positions (B, N) of images (B, C, H, W) count; of pairs those of the targets."""
        if self.ends is None:
            return torch.ones(len(x), self.num_positions, dtype=torch.bool, device=x.device)
        return in_target(self.sequence(x).squeeze(-1), self.ends)

    def refuse_pairs(self, asked: str) -> None:
        """Refuse what a model of targets given their sources does not have.

        Args:
            asked: Beginning of the sentence, e.g. "measure=codecs asks for codes of whole windows".

        Raises:
            Incapable: It is one.
        """
        if self.ends is not None:
            raise Incapable(
                f"{asked}, and this {type(self).__name__} is one of targets given their sources, of "
                "data=pairs: use a run of data=text."
            )

    def log_prob_given(self, x: Tensor, known: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the log-probability (B,) in nats of the unknown pixels of x, given the known ones.

        It is the sum of log p(x_i | x_<i) over the unknown positions, which is the log-probability
        with which `sample_given` draws them. It equals log p(unknown | known) if all known pixels
        come before all unknown ones, see `known_come_first`.

        Args:
            x: Images (B, C, H, W) uint8.
            known: Boolean mask (C, H, W) or (B, C, H, W).
            y: Of a conditional model, the labels (B,); each class of an unknown label is weighted by
                its probability given the known pixels that come before all unknown ones.

        Raises:
            Incapable: It is a model of targets given their sources.
        """
        self.refuse_pairs("This asks for the probability of any part of a window")
        known = known.expand_as(x)
        self.refuse_labels(y)
        if not self.num_classes:
            return self._log_rest(x, known, None)

        def lead(both: Tensor, rows: Tensor | None) -> Tensor:
            return self._log_lead(both[:, 0], both[:, 1].bool(), rows)

        def all_(both: Tensor, rows: Tensor | None) -> Tensor:
            return lead(both, rows) + self._log_rest(both[:, 0], both[:, 1].bool(), rows)

        both = torch.stack([x, known.to(x)], 1)
        return self.over_labels(both, y, all_) - self.over_labels(both, y, lead)

    def _log_lead(self, x: Tensor, known: Tensor, y: Tensor | None) -> Tensor:
        """Return the log-probability (B,) of the known pixels before the first unknown one."""
        before = self._known_positions(known).cumprod(-1)
        return (self.position_log_probs(x, y) * before).sum(-1)

    def _log_rest(self, x: Tensor, known: Tensor, y: Tensor | None) -> Tensor:
        """Return the log-probability (B,) of the unknown pixels, given rows y (B,)."""
        return (self.position_log_probs(x, y) * ~self._known_positions(known)).sum(-1)

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return loss = nll (B,) in nats; of pairs of texts also "symbols", how many the nll counts."""
        nll = -(self.log_prob(x) if y is None else self.log_prob(x, y))
        terms = {"loss": nll, "nll": nll}
        return (
            terms if self.ends is None else terms | {"symbols": self.in_target(x).sum(-1).to(nll)}
        )

    def derived(self, means: dict[str, float]) -> dict[str, float]:
        """See `GenerativeModel.derived`; of pairs of texts add bits per symbol of targets instead."""
        if "symbols" not in means:
            return super().derived(means)
        return {**means, "bits_per_symbol": means["nll"] / (means["symbols"] * math.log(2))}


def _pixel(t: Tensor) -> Tensor:
    """Return (n, P) as images of one pixel (n, P, 1, 1)."""
    return t.view(*t.shape, 1, 1)
