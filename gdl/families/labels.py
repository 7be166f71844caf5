"""What conditional models share: p(x | y) for each class y, and p(x) = sum_y p(y) p(x | y)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gdl.data.base import ImageData
from gdl.errors import GdlError
from gdl.families.optimization import Optimization
from gdl.noise import SampleNoise, mix_seed, uniform

__all__ = ["UNKNOWN", "ClassLabels"]

UNKNOWN = -1
"""The label of an image whose class is not known."""


class ClassLabels(Optimization):
    """Labels y in {0, ..., num_classes - 1}, or -1 where they are not known.

    An unknown label is summed over: p(x) = sum_y p(y) p(x | y). With `label_dropout` it has parameters
    of its own instead, as one more class: in training a label is left out with that probability, so
    that the same weights are a model of p(x), too.

    Args:
        num_classes: Number of classes; 0 for a model without labels.
        label_dropout: Probability that a label is left out in training.

    Raises:
        GdlError: One of them is out of range, or labels are left out of a model that has none.
    """

    log_class_prior: Tensor
    """log p(y), (num_classes,): the frequencies of the training labels, uniform before training."""

    def __init__(self, num_classes: int = 0, label_dropout: float = 0.0) -> None:
        super().__init__()
        if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 0:
            raise GdlError(f"num_classes must be a whole number from 0 on, got {num_classes!r}.")
        if not 0 <= label_dropout < 1:
            raise GdlError(
                f"model.label_dropout must be from 0 to below 1, got {label_dropout!r}."
            )
        if label_dropout and not num_classes:
            raise GdlError(
                "model.label_dropout leaves out labels, and this model has none: set "
                "model.conditional=true too."
            )
        self.num_classes, self.label_dropout = num_classes, label_dropout
        self.all_labelled = False
        """Whether no training image has an unknown label, so that none has to be looked for."""
        if num_classes:
            uniform_prior = torch.full((num_classes,), -math.log(num_classes))
            self.register_buffer("log_class_prior", uniform_prior)

    @property
    def label_rows(self) -> int:
        """Number of sets of parameters that depend on the label: one more with `label_dropout`."""
        return self.num_classes + bool(self.label_dropout)

    def on_fit_start(self) -> None:
        """Set p(y) to the frequencies of the training labels, if the trainer's data have labels."""
        data = getattr(self.trainer, "datamodule", None)
        if self.num_classes and isinstance(data, ImageData):
            labels = data.labels("train")
            if labels is not None:
                self.initialize_labels(labels)

    def initialize_labels(self, y: Tensor) -> None:
        """Set p(y) to the frequencies of training labels (N,), in which -1 is unknown.

        Raises:
            GdlError: A label is no class of this model, or none is known.
        """
        known = y[y != UNKNOWN].cpu()
        if not len(known):
            raise GdlError("No training image has a label: leave out model.conditional=true.")
        if int(known.min()) < 0 or int(known.max()) >= self.num_classes:
            raise GdlError(
                f"The labels are {int(known.min())} to {int(known.max())}, but the model has "
                f"{self.num_classes} classes, 0 to {self.num_classes - 1}."
            )
        counts = known.bincount(minlength=self.num_classes).double()
        self.log_class_prior.copy_((counts / counts.sum()).log())
        self.all_labelled = len(known) == len(y)

    def over_labels(
        self, x: Tensor, y: Tensor | None, score: Callable[[Tensor, Tensor | None], Tensor]
    ) -> Tensor:
        """Return log p(x | y) (B,) where the label is known, and log p(x) where it is not.

        Args:
            x: Images (B, C, H, W).
            y: Labels (B,) int64, -1 where unknown; None for all unknown, or for a model without labels.
            score: Returns log p(x | row) (B,), or a bound, of images and rows of parameters (B,), see
                `label_rows`; the rows are None for a model without labels.

        Raises:
            GdlError: The model has no labels, and some are given.
        """
        if not self.num_classes:
            self.refuse_labels(y)
            return score(x, None)
        if self.label_dropout:
            return score(x, self._rows_or_left_out(x, y))
        if y is None:
            return self._marginal(x, score)
        if (self.training and self.all_labelled) or not bool((unknown := y < 0).any()):
            return score(x, y)
        sums = self._marginal(x[unknown], score)
        out = sums.new_zeros(len(x)).index_put((unknown,), sums)
        if bool((known := ~unknown).any()):
            out = out.index_put((known,), score(x[known], y[known]).to(out))
        return out

    def refuse_labels(self, y: object) -> None:
        """Raise a GdlError if a model without labels is given some."""
        if y is not None and not self.num_classes:
            raise GdlError(
                f"This {type(self).__name__} has no labels: leave out the label, or train with "
                "model.conditional=true."
            )

    def _marginal(self, x: Tensor, score: Callable[[Tensor, Tensor | None], Tensor]) -> Tensor:
        each = [score(x, y) for y in self.each_label(x)]
        joint = torch.stack(each) + self.log_class_prior.to(each[0])[:, None]
        return joint.logsumexp(0)

    def each_label(self, x: Tensor) -> list[Tensor]:
        """Return, for each class, its label for all images x (B, ...), (B,) int64."""
        return [
            torch.full((len(x),), y, dtype=torch.int64, device=x.device)
            for y in range(self.num_classes)
        ]

    def _rows_or_left_out(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return the rows of a model that has one for unknown labels; training leaves labels out."""
        nothing = torch.full((len(x),), self.num_classes, dtype=torch.int64, device=x.device)
        if y is None:
            return nothing
        left_out = y < 0
        if self.training:
            like = torch.empty((), device=x.device)
            left_out = left_out | (uniform((len(x),), like) < self.label_dropout)
        return torch.where(left_out, nothing, y)

    # ---- labels of samples

    def checked_labels(self, label: int | Tensor | None, n: int) -> Tensor | None:
        """Return the labels (n,) int64 of n samples, -1 where they are to be drawn.

        Returns None for a model without labels.

        Args:
            label: A class for all samples, or one for each; None where the model chooses.
            n: Number of samples.

        Raises:
            GdlError: There is no such class, or the model has no labels.
        """
        self.refuse_labels(label)
        if not self.num_classes:
            return None
        label = UNKNOWN if label is None else label
        labels = torch.as_tensor(label, device=self.device)
        if labels.is_floating_point() or labels.dtype == torch.bool or labels.dim() > 1:
            raise GdlError(f"label must be whole numbers, one or {n}, got {label!r}.")
        if labels.dim() == 1 and len(labels) != n:
            raise GdlError(f"label has {len(labels)} numbers for {n} samples: give one, or {n}.")
        labels = labels.long().expand(n)
        if n and (int(labels.min()) < UNKNOWN or int(labels.max()) >= self.num_classes):
            wrong = labels[(labels < UNKNOWN) | (labels >= self.num_classes)][0]
            raise GdlError(
                f"There is no class {int(wrong)}: the labels are 0 to {self.num_classes - 1}."
            )
        return labels

    def drawn_labels(
        self, labels: Tensor, indices: list[int], seed: int, scores: Tensor | None = None
    ) -> Tensor:
        """Return rows of parameters (n,), see `label_rows`, for the labels of samples.

        With `label_dropout` an unknown label has a row of its own. Without, it is drawn from p(y), for
        each sample from its own noise.

        Args:
            labels: See `checked_labels`.
            indices: The index of each sample in the set of that seed.
            seed: Seed of the whole set.
            scores: (n, num_classes), log-probabilities that are added to log p(y), e.g. of the pixels
                that are known.
        """
        if self.label_dropout:
            return torch.where(labels < 0, self.num_classes, labels)
        if not bool((labels < 0).any()):
            return labels
        noise = SampleNoise(mix_seed("label", seed), indices, self.device)
        chances: Any = self.log_class_prior + noise.gumbel(self.num_classes)
        drawn = (chances if scores is None else chances + scores).argmax(1)
        return torch.where(labels < 0, drawn, labels)
