"""The codes and factors of images that the metrics look at."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import HasLatents, HasPosterior, Incapable, refuse
from gdl.data.base import ImageData
from gdl.data.factors import HasFactors
from gdl.data.labels import NO_LABELS
from gdl.errors import GdlError
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.noise import mix_seed

__all__ = ["Encoded", "check", "encoded"]

MOST_LATENTS = 128
"""Each latent is looked at by itself, which takes about a second of one core for each."""


@dataclass(frozen=True)
class Encoded:
    """N images as a model sees them, in random order."""

    codes: Tensor
    """(N, L) on the CPU; the posterior means, where there is a posterior."""
    factors: Tensor
    """(N, F) int64."""
    log_std: Tensor | None
    """Logarithms (N, L) of the posterior's standard deviations; None without a posterior."""

    def part(self, i: int, n: int) -> "Encoded":
        """Return the i-th of n parts of about the same size."""
        log_std = None if self.log_std is None else self.log_std[i::n]
        return Encoded(self.codes[i::n], self.factors[i::n], log_std)

    def of_factors(self, which: Tensor) -> "Encoded":
        """Return the same images with some of the factors, a boolean (F,)."""
        return Encoded(self.codes, self.factors[:, which], self.log_std)


def check(model: GenerativeModel, data: ImageData) -> None:
    """Check that there are factors and latents to compare.

    Raises:
        Incapable: There are none, or too many latents.
    """
    asked = "measure=disentanglement asks for"
    if not isinstance(data, HasFactors):
        raise Incapable(
            f"{asked} data whose factors of variation are known, and {type(data).__name__} has none: "
            "use a run of data=dsprites."
        )
    if not isinstance(model, HasLatents):
        refuse(model, HasLatents, f"{asked} latents", models)
    if (latents := torch.Size(model.latent_shape).numel()) > MOST_LATENTS:
        raise Incapable(
            f"{asked} at most {MOST_LATENTS} latents, because it looks at each by itself, and this "
            f"{type(model).__name__} has {latents:,}: use a run of model=beta_vae, or of model=ae "
            "with a smaller model.latent_dim."
        )


@torch.inference_mode()
def encoded(
    model: GenerativeModel,
    data: ImageData,
    split: str,
    num: int,
    batch_size: int,
    seed: int,
    limit: int | None,
) -> Encoded:
    """Return codes and factors of a random choice of the images of a split.

    A conditional model is given the labels, and only images whose label is known are chosen.

    Args:
        model: A model with latents, in eval mode.
        data: Data with factors.
        split: "train" or "test".
        num: Number of images, fewer if the split has fewer.
        batch_size: Images at a time.
        seed: Seeds the choice.
        limit: Choose among the first so many images only.

    Raises:
        GdlError: A number is none, or the model is conditional and the data have no labels.
    """
    for name, value in (("num", num), ("batch_size", batch_size), ("limit", limit or 1)):
        at_least_one(name, value)
    assert isinstance(data, HasFactors)
    images, labels = data.images(split)[:limit], None
    among = torch.arange(len(images))
    if model.num_classes:
        labels = data.labels(split)
        if labels is None:
            raise GdlError(f"This {type(model).__name__} is conditional, but {NO_LABELS}")
        among = among[labels[:limit].cpu() >= 0]
    generator = torch.Generator().manual_seed(mix_seed("disentanglement", split, seed))
    chosen = among[torch.randperm(len(among), generator=generator)[:num]]
    codes, log_stds = [], []
    encode: Callable[..., Tensor] = model.encode  # pyright: ignore[reportAssignmentType]
    for index in chosen.split(batch_size):
        where = index.to(images.device)
        given = () if labels is None else (labels[where].to(model.device),)
        x = images[where].to(model.device)
        if isinstance(model, HasPosterior):
            mean, log_std = model.posterior(x, *given)
            log_stds.append(log_std.flatten(1).float().cpu())
        else:
            mean = encode(x, *given)
        codes.append(mean.flatten(1).float().cpu())
    log_std = torch.cat(log_stds) if log_stds else None
    return Encoded(torch.cat(codes), data.factors(split)[chosen], log_std)
