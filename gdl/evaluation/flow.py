"""Numbers of a flow that its likelihood does not show: tighter bounds, inversion, sane samples."""

from collections.abc import Iterable

import torch
from torch import Tensor

from gdl.families.flow import FlowModel
from gdl.families.streaming import StreamingLogMeanExp
from gdl.noise import seed_noise

__all__ = ["dequantization_bound", "inversion"]


@torch.inference_mode()
def dequantization_bound(
    model: FlowModel, batches: Iterable[Tensor], k: int, seed: int = 0
) -> Tensor:
    """Return the negative bound (N,) in nats from K dequantization samples per image.

    -log P(x) <= -E log (1 / K) sum_k p(y_k) / q(y_k | x); K = 1 is the usual one, more are tighter
    (Hoogeboom et al., 2021, "Learning discrete distributions by dequantization", arXiv 2001.11235).

    Args:
        model: A flow in eval mode.
        batches: Images (B, C, H, W) uint8.
        k: Samples per image.
        seed: Seeds the draws.
    """
    bounds = []
    for i, x in enumerate(batches):
        x = x.to(model.device)
        seed_noise(model.device, "dequantize", seed, i)
        stream = StreamingLogMeanExp()
        for _ in range(k):
            stream.add(model.log_prob(x)[None])
        bounds.append(-stream.value())
    return torch.cat(bounds).cpu()


@torch.inference_mode()
def inversion(
    model: FlowModel, batches: Iterable[Tensor], n: int = 500, seed: int = 0
) -> dict[str, float]:
    """Return "inversion/max_error", "inversion/mean_error", "samples/nonfinite", "samples/unlikely".

    Errors are |decode(encode(x)) - x| in levels of a pixel (in units of the data where they are
    continuous), in the precision of the model. The others are fractions of n samples: those with a
    value that is NaN or infinite before it is rounded to a pixel; and, of integer data, those that
    the model, when they are rounded, finds less likely than each image of the first batch and than
    uniform noise is at best: its inverse has exploded and left the range of the pixels (Behrmann et
    al., 2021, arXiv 2006.09347), which the likelihood of images does not show.
    """
    worst, total, count, first = 0.0, 0.0, 0, None
    for x in batches:
        x = x.to(model.device)
        first = x if first is None else first
        error = (model.decode(model.encode(x)) - x).abs()
        worst = max(worst, float(error.max()))
        total += float(error.double().sum())
        count += error.numel()
    y = model.sample_continuous(n, seed=seed)
    finite = y.flatten(1).isfinite().all(1).cpu()
    found = {
        "inversion/max_error": worst,
        "inversion/mean_error": total / count,
        "samples/nonfinite": 1 - float(finite.double().mean()),
    }
    if model.dequantize is not None and first is not None:
        drawn = model.dequantize.inverse(y).split(100)
        real, ours = (dequantization_bound(model, x, 1, seed) for x in ([first], drawn))
        limit = max(float(real.max()), model.dequantize.log_volume)
        found["samples/unlikely"] = 1 - float(((ours <= limit) & finite).double().mean())
    return found
