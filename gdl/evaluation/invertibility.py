"""What a flow's likelihood does not show: whether it inverts, and whether its samples are sane."""

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import Invertible, refuse
from gdl.data.base import ImageData
from gdl.evaluation.dequantization_bounds import dequantization_bound
from gdl.evaluation.held_out import held_out_batches
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.flows.dequantize import UniformDequantization

__all__ = ["inversion"]


@torch.inference_mode()
def inversion(
    model: GenerativeModel,
    data: ImageData,
    n: int = 500,
    batch_size: int = 500,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str, float]:
    """Return "inversion/max_error", "inversion/mean_error", "samples/nonfinite", "samples/unlikely".

    Errors are |decode(encode(x)) - x| over the test images, in levels of a pixel (in units of the
    data where they are continuous), in the precision of the model. The others are fractions of n
    samples. A sample is non-finite if it has a value that is NaN or infinite before it is rounded
    to a pixel. Of integer data it is unlikely if the model, after rounding, finds it less likely
    than the uniform distribution over all images does, D log levels nats.

    Args:
        model: A flow, in eval mode.
        data: The data set.
        n: Samples to draw.
        batch_size: Images at a time.
        seed: Seeds the draws.
        limit: Only the first so many test images.

    Raises:
        Incapable: The model is no flow.
        GdlError: n is no number of samples.
    """
    if not isinstance(model, Invertible):
        asked = "measure=inversion asks for an exact inverse of the encoder"
        refuse(model, Invertible, asked, models)
    at_least_one("n of measure=inversion", n)
    worst, total, count = [], 0.0, 0
    for x in held_out_batches(model, data, batch_size, limit):
        error = (model.decode(model.encode(x)) - x).abs()
        worst.append(error.max())
        total += float(error.double().sum())
        count += error.numel()
    y = model.sample_continuous(n, seed=seed)
    finite = y.flatten(1).isfinite().all(1).cpu()
    found = {
        # not Python's max, which can hide a NaN
        "inversion/max_error": float(torch.stack(worst).max()),
        "inversion/mean_error": total / count,
        "samples/nonfinite": 1 - float(finite.double().mean()),
    }
    dequantize = getattr(model, "dequantize", None)
    if isinstance(dequantize, UniformDequantization):
        found["samples/unlikely"] = _unlikely(model, dequantize, y, finite, seed)
    return found


def _unlikely(
    model: GenerativeModel,
    dequantize: UniformDequantization,
    y: Tensor,
    finite: Tensor,
    seed: int,
) -> float:
    """Return the fraction of samples that are non-finite or unlikely, see `inversion`.

    Their inverse has exploded and left the range of the pixels, which the likelihood of images does
    not show (Behrmann et al., 2021, "Understanding and mitigating exploding inverses in invertible
    neural networks", arXiv 2006.09347). They are compared with a number that does not depend on the
    model: images that a bad model finds unlikely would excuse its samples.

    Args:
        model: The flow.
        dequantize: Its dequantization.
        y: Continuous samples (n, C, H, W).
        finite: Which of them are finite, (n,).
        seed: Seeds the noise of the scores.
    """
    nll = dequantization_bound(model, dequantize.inverse(y).split(100), 1, seed)
    # a NaN is not below the limit
    return 1 - float(((nll <= dequantize.log_volume) & finite).double().mean())
