"""What each latent of a VAE carries, and how far the aggregate posterior is from the prior."""

import math

import torch

import gdl.models as models
import gdl.plots as plots
from gdl.capabilities import HasPosterior, refuse
from gdl.data.base import ImageData
from gdl.distributions import gaussian_kl
from gdl.errors import GdlError
from gdl.evaluation.aggregate_posterior import information, marginal
from gdl.evaluation.held_out import held_out_batches, held_out_labels
from gdl.evaluation.host import Host
from gdl.evaluation.latent_use import is_active, posteriors
from gdl.evaluation.model_terms import rate_distortion
from gdl.evaluation.units import at_least_one, several_images
from gdl.families.base import GenerativeModel
from gdl.families.terms import with_error
from gdl.files import write_rows
from gdl.pictures import subject

__all__ = ["latents"]

COLUMNS = ("latent", "kl", "information", "marginal_kl", "variance_of_means", "active")
"""Of latents.csv; divergences and information in nats."""


@torch.inference_mode()
def latents(
    model: GenerativeModel,
    data: ImageData,
    threshold: float = 0.01,
    curves: int = 6,
    draws: int = 8,
    batch_size: int = 500,
    seed: int = 0,
    *,
    host: Host,
    limit: int | None = None,
) -> dict[str, float]:
    """Return where the rate of a VAE goes, in nats over the test images.

    latents/rate, the mean of KL(q(z | x), p(z)), is latents/information + latents/aggregate_kl: what z
    tells about which of the N test images it is of, at most latents/largest_information = log N, and
    KL(q(z), p(z)) of the aggregate posterior. The latter is latents/marginal_kl, the sum of
    KL(q(z_j), N(0, 1)), + latents/total_correlation. latents/distortion is E[-log p(x | z)].
    active_units is the number of active latents, see the measure of that name, of latents/number.

    Args:
        model: A model with a posterior, in eval mode; a conditional one is given the labels.
        data: The data set.
        threshold: Variance of the posterior mean above which a latent is active.
        curves: Latents whose marginals are drawn, those with the largest rates.
        draws: Latents per image that the distortion is averaged over.
        batch_size: Images at a time.
        seed: Seeds the draws.
        host: Says where latents.csv goes, a row for each latent, and latents.png.
        limit: Only the first so many test images.

    Raises:
        Incapable: The model has no posterior, or there is one image.
        GdlError: `curves` or `draws` is no number of them, or a posterior is not finite.
    """
    if not isinstance(model, HasPosterior):
        refuse(model, HasPosterior, "measure=latents asks for a posterior of latents", models)
    at_least_one("curves of measure=latents", curves)
    at_least_one("draws of measure=latents", draws)
    table, picture = host.table("latents.csv"), host.file("latents.png")
    mean, log_std = posteriors(model, data, batch_size, limit)
    several_images("latents", "test", mean)
    if not bool(mean.isfinite().all() & log_std.isfinite().all()):
        raise GdlError(
            "The posterior of some test images is not finite, so training has diverged: lower "
            "model.optimizer.lr, or set trainer.gradient_clip_val=1."
        )
    batches = held_out_batches(model, data, batch_size, limit)
    terms = rate_distortion(model, batches, draws, seed, held_out_labels(model, data, limit))
    kl = gaussian_kl(mean, log_std).mean(0)
    marginals = [marginal(*latent) for latent in zip(mean.T, log_std.T, strict=True)]
    of_marginals = torch.tensor([m.kl for m in marginals], dtype=torch.float64)
    metrics = with_error("latents/rate", terms["rate"])
    metrics |= with_error("latents/distortion", terms["distortion"])
    metrics |= with_error("latents/information", information(mean, log_std, seed))
    metrics["latents/largest_information"] = math.log(len(mean))
    aggregate = metrics["latents/rate"] - metrics["latents/information"]
    metrics["latents/aggregate_kl"] = aggregate
    metrics["latents/marginal_kl"] = float(of_marginals.sum())
    metrics["latents/total_correlation"] = aggregate - metrics["latents/marginal_kl"]
    active = is_active(mean, threshold)
    metrics |= {"active_units": int(active.sum()), "latents/number": len(active)}
    # the KL of a latent is what it tells about n, and how far its marginal is from N(0, 1)
    told = kl - of_marginals
    order = kl.argsort(descending=True).tolist()
    columns = zip(kl, told, of_marginals, mean.var(0), active, strict=True)
    rows = [[j, *(float(v) for v in values)] for j, values in enumerate(columns)]
    write_rows(table, [rows[j] for j in order], COLUMNS)
    drawn = [(j, marginals[j].z, marginals[j].density) for j in order[:curves]]
    figure = plots.latents_figure(kl, of_marginals, active, drawn, _title(metrics))
    plots.save_figure(figure, picture, subject(model.config))
    return metrics


def _title(metrics: dict[str, float]) -> str:
    """Return where the rate goes, in one line."""
    m = {key.removeprefix("latents/"): value for key, value in metrics.items()}
    return (
        f"{m['active_units']} of {m['number']} latents are active; rate {m['rate']:.4g} nats = "
        f"information {m['information']:.3g} (of at most {m['largest_information']:.3g}) + "
        f"KL(q(z), p(z)) {m['aggregate_kl']:.3g}; distortion {m['distortion']:.4g} nats"
    )
