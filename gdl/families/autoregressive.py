"""The base class of autoregressive models: exact density, ancestral sampling, completion of images."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gdl.capabilities import Incapable
from gdl.distributions import Likelihood, default_conditional
from gdl.errors import GdlError
from gdl.families.ancestral import Block, PositionSteps, after, draw_in_order, num_final
from gdl.families.drawing import Drawing
from gdl.families.sequences import PixelSequences
from gdl.families.targets import checked_ends, in_target
from gdl.nn.class_bias import ClassBias
from gdl.noise import SampleNoise

__all__ = ["AutoregressiveModel"]


class AutoregressiveModel(PixelSequences):
    r"""p(x) = prod_i p(x_i | x_0, ..., x_{i-1}) over the positions of an image, in a fixed order.

    Inside, an image is a sequence (B, N, V) of N positions with V integers each, see `PixelSequences`.

    A subclass writes `params`, which returns for each position the P parameters of its distribution
    given the earlier positions, in one pass. Density, sampling and completion follow. It may also
    write `steps`, if it can compute some positions with less work than a whole pass. It adds `bias`
    (N, P) to its output; `initialize` sets it so that the model starts as independent pixels.

    A conditional model has p(x_i | x_0, ..., x_{i-1}, y): a bias of the class at every hidden layer and
    at the output, see `biases`. Then `params` and `steps` also get the class of each image.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
        likelihood: Called with the shape (V, N, 1) and levels; see `gdl.distributions`.
        order: Order of the pixels, see `gdl.families.order.pixel_order`. It is saved with the model.
        num_classes: See `GenerativeModel`.
        label_dropout: See `GenerativeModel`.
        ends: Of pairs of texts, the numbers of the symbols that end a source and a target. Then the
            model is p(target | source), and its nll counts the target and its end only, see
            `gdl.families.targets`.

    Raises:
        GdlError: The order is unknown, or the likelihood does not fit the levels, or the ends do not.
    """

    SAMPLES_AT_ONCE = 256
    """Images that are sampled together, which bounds the memory."""

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

    def steps(self, n: int, y: Tensor | None = None) -> PositionSteps:
        """Yield the parameters of one block of positions after the other; see `PositionSteps`.

        This version works for every model. It takes whole passes, each of which makes the positions
        final up to the first that was guessed wrongly.

        Args:
            n: Number of sequences.
            y: Of a conditional model, the row (n,) of each, see `label_rows`.
        """
        params = self._params_given(y)
        s = torch.zeros(n, self.num_positions, self.values, dtype=torch.uint8, device=self.device)
        start = 0
        while start < self.num_positions:
            values = yield Block(start, params(s)[:, start:])
            final = num_final(values, s[:, start:])
            s[:, start:] = values
            start += final

    def steps_after(self, prefix: Tensor, y: Tensor | None = None) -> PositionSteps:
        """Yield the blocks of `steps` behind a known beginning of the sequences.

        This version takes the steps through it. A model may write another, which takes one pass.

        Args:
            prefix: Sequences (n, t, V) uint8 of the first t < N positions.
            y: See `steps`.
        """
        n = len(prefix)
        return after(self.steps(n) if y is None else self.steps(n, y), prefix)

    def _naive_steps(self, prefix: Tensor, y: Tensor | None) -> PositionSteps:
        """Yield one position per whole pass, behind a known beginning (n, t, V)."""
        params, (n, t, values) = self._params_given(y), prefix.shape
        s = torch.zeros(n, self.num_positions, values, dtype=torch.uint8, device=self.device)
        s[:, :t] = prefix
        for i in range(t, self.num_positions):
            s[:, i : i + 1] = yield Block(i, params(s)[:, i : i + 1])

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

    # ---- density

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

    # ---- sampling

    def sample(
        self,
        n: int,
        *,
        label: int | Tensor | None = None,
        seed: int = 0,
        temperature: float = 1.0,
        mean: bool = False,
        top_k: int | None = None,
        top_p: float = 1.0,
        naive: bool = False,
    ) -> Tensor:
        """Return n samples (n, C, H, W) uint8; sample k depends on (seed, k) only.

        Args:
            n: Number of samples.
            label: Of a conditional model the class, or one for each sample (n,), of which p(x | y) is
                sampled; None for samples of p(x).
            seed: See `Drawing`, also for temperature, top_k, top_p and naive.
            temperature: Divides the logits, or multiplies the scales, of each conditional.
            mean: Ignored, because the model has no latents whose mean image could be shown.
            top_k: Draw from the k most likely values only.
            top_p: Draw from the fewest values that have this probability together.
            naive: Use one whole pass per position.

        Raises:
            Incapable: It is a model of targets, which draws none without a source.
            GdlError: top_k or top_p is out of range, or there is no such label.
        """
        self.refuse_pairs("This asks for draws without a source")
        nothing = torch.zeros(self.shape, dtype=torch.uint8, device=self.device)
        return self.sample_given(
            n,
            nothing,
            nothing.bool(),
            label=label,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            naive=naive,
        )

    def sample_given(
        self,
        n: int,
        given: Tensor,
        known: Tensor,
        *,
        label: int | Tensor | None = None,
        seed: int = 0,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        naive: bool = False,
        indices: Sequence[int] | None = None,
    ) -> Tensor:
        """Return n completions (n, C, H, W) uint8; completion k depends on (seed, indices[k]) only.

        They are samples of p(unknown | known) if all known pixels come before all unknown ones, see
        `known_come_first`. A known pixel that comes later keeps its value, but the unknown pixels
        before it are drawn without looking at it. A mask that splits the channels of a pixel which
        the model draws together is refused with a GdlError.

        Args:
            n: Number of completions.
            given: An image (C, H, W) uint8, or one for each completion (n, C, H, W).
            known: Boolean mask, (C, H, W) or (n, C, H, W), of the pixels of `given` to keep.
            label: See `sample`. A class that is not given is drawn given the known pixels that come
                before all unknown ones.
            seed: Seed of the whole set.
            temperature: See `sample`.
            top_k: See `sample`.
            top_p: See `sample`.
            naive: See `sample`.
            indices: The index of each completion in the set of that seed; by default 0 to n - 1.
        """
        own = list(range(n) if indices is None else indices)
        given, known = (t.to(self.device).expand(n, *self.shape) for t in (given, known))
        labels = self.checked_labels(label, n)
        how = Drawing(seed, temperature, top_k, top_p, naive)
        parts = []
        with torch.inference_mode():
            for k in torch.arange(n).split(self.SAMPLES_AT_ONCE):
                y = None if labels is None else labels[k]
                some = [own[i] for i in k.tolist()]
                rows = self.rows_given(y, some, given[k], known[k], seed)
                parts.append(self._complete(some, given[k], known[k], rows, how))
        # outside of inference mode, so that callers can take gradients with respect to samples
        return torch.cat(parts)

    def rows_given(
        self, y: Tensor | None, indices: list[int], given: Tensor, known: Tensor, seed: int
    ) -> Tensor | None:
        """Return the rows (n,), see `label_rows`, of completions with labels y (n,), -1 to be drawn."""
        if y is None:
            return None
        scores = None
        if not self.label_dropout and bool((y < 0).any()) and bool(known.any()):
            each = [self._log_lead(given, known, row) for row in self.each_label(given)]
            scores = torch.stack(each, 1)
        return self.drawn_labels(y, indices, seed, scores)

    def _complete(
        self,
        indices: Sequence[int],
        given: Tensor,
        known: Tensor,
        y: Tensor | None,
        how: Drawing,
    ) -> Tensor:
        """Return the completions (n, C, H, W) with the given indices in the set of that seed.

        Those of a conditional model have the rows y (n,), see `label_rows`.
        """
        given, keep = self.sequence(given), self._known_positions(known)
        draws = how.of(self.likelihood)
        source = SampleNoise(how.seed, indices, self.device, self.dtype)
        # all noise at once: a generator call per sample and position would cost more than the model
        noise = how.temperature * draws.noise(source, self.num_positions, 1).squeeze(-1)
        noise = noise.movedim(2, 0).contiguous()
        lead = 0 if how.naive else int(keep.all(0).int().cumprod(0).sum())
        if lead == self.num_positions:
            return self.image(given)
        steps = self.steps_from(given[:, :lead], y, how.naive)
        return self.image(draw_in_order(steps, draws, noise, given, keep))

    def steps_from(self, prefix: Tensor, y: Tensor | None, naive: bool) -> PositionSteps:
        """Return the steps behind a known beginning (n, t, V), perhaps one whole pass for each."""
        if naive:
            return self._naive_steps(prefix, y)
        if prefix.shape[1]:
            return self.steps_after(prefix, y)
        return self.steps(len(prefix)) if y is None else self.steps(len(prefix), y)


def _pixel(t: Tensor) -> Tensor:
    """Return (n, P) as images of one pixel (n, P, 1, 1)."""
    return t.view(*t.shape, 1, 1)
