"""The log-mean-exp of a stream of importance weights, in constant memory."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gdl.capabilities import HasImportanceWeights
from gdl.families.labels import ClassLabels

__all__ = ["StreamingLogMeanExp", "decoded_at_once", "stream_weights"]

VALUES = {"cpu": 2**19}
"""Parameters of decoded images at a time by device. On a CPU 2 MiB stay in the cache: 1,000 samples of
MNIST images take half of the time that they take with 12 MiB."""


@dataclass
class StreamingLogMeanExp:
    """log of (1/K) sum_k exp(w_k) over a stream of K log weights w_k, in float64.

    The weights themselves are not kept. The sum of their squares is, for the effective sample size.
    """

    log_sum: Tensor | None = None
    log_sum_squares: Tensor | None = None
    count: int = 0

    def add(self, log_w: Tensor) -> None:
        """Add log weights (k, B)."""
        log_w = log_w.double()
        s, q = log_w.logsumexp(0), (2 * log_w).logsumexp(0)
        self.log_sum = s if self.log_sum is None else torch.logaddexp(self.log_sum, s)
        old = self.log_sum_squares
        self.log_sum_squares = q if old is None else torch.logaddexp(old, q)
        self.count += log_w.shape[0]

    def value(self) -> Tensor:
        """Return log (1 / K) sum_k exp(w_k), (B,)."""
        assert self.log_sum is not None, "no weights were added"
        return self.log_sum - math.log(self.count)

    def effective_samples(self) -> Tensor:
        """Return the effective sample size (sum e^w)^2 / sum e^(2w), (B,), between 1 and K.

        Below about 2 the bound is loose.
        """
        assert self.log_sum is not None
        assert self.log_sum_squares is not None
        return (2 * self.log_sum - self.log_sum_squares).exp()


def stream_weights(
    model: HasImportanceWeights,
    x: Tensor,
    k: int,
    chunk: int | None = None,
    y: Tensor | None = None,
) -> StreamingLogMeanExp:
    """Return k importance weights for each image, see `HasImportanceWeights.log_weights`.

    Without labels, a conditional model has k weights for each label: those of the latents (z, y), with
    all labels drawn equally often.

    Args:
        model: Draws the weights.
        x: Images (B, C, H, W) uint8.
        k: Number of importance samples; every value is honoured.
        chunk: Decoded images at a time, which bounds the memory; None: as many as are fastest.
        y: Labels (B,), for a conditional model only.
    """
    chunk = decoded_at_once(model, x) if chunk is None else chunk
    stream, at_once = StreamingLogMeanExp(), max(1, chunk // len(x))
    for label, shift in _labels(model, x, y):
        left = k
        while left:
            log_px, log_ratio = model.log_weights(x, n := min(at_once, left), *label)
            stream.add(log_px + log_ratio + shift)
            left -= n
    return stream


def _labels(
    model: HasImportanceWeights, x: Tensor, y: Tensor | None
) -> list[tuple[list[Tensor], float]]:
    """Return the labels to draw weights for, and the log of p(y) over the frequency of y."""
    if y is not None:
        return [([y], 0.0)]
    if not isinstance(model, ClassLabels) or not model.num_classes or model.label_dropout:
        return [([], 0.0)]
    log_p = model.log_class_prior + math.log(model.num_classes)
    return [([label], float(p)) for label, p in zip(model.each_label(x), log_p, strict=True)]


def decoded_at_once(model: HasImportanceWeights, x: Tensor) -> int:
    """Return how many images to decode at a time, for images x (B, C, H, W)."""
    likelihood = getattr(model, "likelihood", None)
    channels = x.shape[1] if likelihood is None else likelihood.num_params
    return max(1, VALUES.get(x.device.type, 2**22) // (channels * math.prod(x.shape[2:])))
