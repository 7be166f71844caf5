"""The model's own terms over the test images, and the two parts of the ELBO."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from gdl.capabilities import HasPosterior
from gdl.data.base import ImageData
from gdl.distributions import gaussian_kl
from gdl.evaluation.held_out import held_out_batches
from gdl.evaluation.units import at_least_one, nats_and_bits
from gdl.families.base import GenerativeModel
from gdl.families.terms import with_error
from gdl.noise import seed_noise

__all__ = ["bits", "rate_distortion"]


@torch.inference_mode()
def bits(
    model: GenerativeModel,
    data: ImageData,
    batch_size: int = 500,
    draws: int = 8,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str, float]:
    """Return each term of the model's `loss` over the test images, with its standard error.

    The keys are test/{term} and test/{term}_se, in nats; where there is an nll also test/bpd and
    test/bpd_se. The test/nll of a conditional model is -log p(x); it also has given-label/nll, which is
    -log p(x | y) over the images whose label is known, and given-label/bpd. Of another model with a
    posterior, rate, distortion and ELBO are those of `rate_distortion`, and so is the nll where it is
    the ELBO's. Of pairs of texts there are test/bits_per_symbol instead of bits/dim, those of
    the symbols of the targets and their ends.

    Args:
        model: Any model, in eval mode.
        data: The data set.
        batch_size: Images at a time.
        draws: Latents per image that the distortion is averaged over.
        seed: Seeds all draws.
        limit: Only the first so many test images.

    Raises:
        GdlError: `draws` is no number of samples.
    """
    at_least_one("draws of measure=bits", draws)
    found: list[dict[str, Tensor]] = []
    labels = data.labels("test") if model.num_classes else None
    for i, x in enumerate(held_out_batches(model, data, batch_size, limit)):
        seed_noise(model.device, "evaluate", seed, i)
        at = slice(i * batch_size, i * batch_size + len(x))
        batch = x if labels is None else (x, labels[at].to(x.device))
        found.append({k: v.double().cpu() for k, v in model.logged_terms(batch, "test").items()})
    terms = {name: torch.cat([f[name] for f in found]) for name in found[0]}
    given = {k: terms.pop(k) for k in [*terms] if k.endswith("_given_label")}
    if isinstance(model, HasPosterior) and not model.num_classes:
        batches = held_out_batches(model, data, batch_size, limit)
        terms |= rate_distortion(model, batches, draws, seed)
        if model.nll_kind == "bound":
            terms["nll"] = -terms["elbo"]
    metrics: dict[str, float] = {}
    for term, values in terms.items():
        metrics |= with_error(f"test/{term}", values)
    if "symbols" in terms:
        metrics |= _bits_per_symbol(terms["nll"], terms["symbols"])
    elif "nll" in terms:
        metrics |= nats_and_bits(model, "test", terms["nll"])
    for name, values in given.items():
        assert labels is not None
        known = values[labels[: len(values)].cpu() >= 0]
        metrics |= with_error(f"given-label/{name.removesuffix('_given_label')}", known)
        if name == "nll_given_label":
            metrics |= nats_and_bits(model, "given-label", known)
    return metrics


def _bits_per_symbol(nll: Tensor, symbols: Tensor) -> dict[str, float]:
    """Return sum nll (N,) / sum symbols (N,) in bits, with the standard error of a ratio of means."""
    mean, ratio = symbols.mean() * math.log(2), nll.sum() / symbols.sum()
    error = with_error("test/bits_per_symbol", (nll - ratio * symbols) / mean)
    return error | {"test/bits_per_symbol": float(ratio / math.log(2))}


@torch.inference_mode()
def rate_distortion(
    model: HasPosterior,
    batches: Iterable[Tensor],
    draws: int = 8,
    seed: int = 0,
    labels: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return "rate", "distortion" and "elbo" = -(rate + distortion) per image, (N,) in nats.

    The rate KL(q(z | x), p(z)) is in closed form; the distortion E_q[-log p(x | z)] is averaged over
    `draws` samples of z.

    Args:
        model: In eval mode.
        batches: Images (B, C, H, W) uint8, on the model's device.
        draws: Samples of z per image.
        seed: Seeds the draws.
        labels: Of a conditional model, the labels (N,) of all images.
    """
    at, given = 0, ()
    rates, distortions = [], []
    for i, x in enumerate(batches):
        seed_noise(x.device, "elbo", seed, i)
        if labels is not None:
            given = (labels[at : (at := at + len(x))],)
        mean, log_std = model.posterior(x, *given)  # pyright: ignore[reportCallIssue]
        noise = torch.randn(draws, *mean.shape, dtype=mean.dtype, device=mean.device)
        log_px, _ = model.log_joint(x, mean + log_std.exp() * noise, *given)  # pyright: ignore
        rates.append(gaussian_kl(mean, log_std).sum(-1).double())
        distortions.append(-log_px.double().mean(0))
    rate, distortion = torch.cat(rates).cpu(), torch.cat(distortions).cpu()
    return {"rate": rate, "distortion": distortion, "elbo": -(rate + distortion)}
