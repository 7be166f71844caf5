"""The base class of autoregressive models: exact density, ancestral sampling, completion of images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gdl.families.ancestral import Block, PositionSteps, after, draw_in_order, num_final
from gdl.families.autoregressive_density import AutoregressiveDensity
from gdl.families.drawing import Drawing
from gdl.noise import SampleNoise

__all__ = ["AutoregressiveModel"]


class AutoregressiveModel(AutoregressiveDensity):
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
