"""All metrics of disentanglement of one model."""

import torch
from torch import Tensor

from gdl.data.base import ImageData
from gdl.data.factors import HasFactors
from gdl.errors import GdlError
from gdl.evaluation.disentangling.beta_vae_score import beta_vae_score
from gdl.evaluation.disentangling.dci import DCI, check_variant, dci
from gdl.evaluation.disentangling.encoded import Encoded, check, encoded
from gdl.evaluation.disentangling.factor_vae_score import factor_vae_score
from gdl.evaluation.disentangling.mig import mig_chen, mig_hist
from gdl.evaluation.disentangling.mutual_information import (
    discretized,
    entropies,
    mutual_information,
)
from gdl.evaluation.disentangling.sap import sap_r2, sap_svc
from gdl.evaluation.disentangling.total_correlation import gaussian_total_correlation
from gdl.evaluation.host import Host
from gdl.evaluation.units import at_least_one, several_images
from gdl.families.base import GenerativeModel
from gdl.pictures import subject
from gdl.plots import save_figure
from gdl.plots.disentanglement import latents_and_factors

__all__ = ["disentanglement"]

PARTS = 5
"""Into so many the images are divided for the standard errors."""

FEWEST = 200
"""Images of a part; of smaller ones the metrics say too little."""

PREFIX = "disentanglement/"


def disentanglement(
    model: GenerativeModel,
    data: ImageData,
    num: int = 10_000,
    bins: int = 20,
    trees: str = "forest",
    prune: float = 0.05,
    batch_size: int = 500,
    seed: int = 0,
    *,
    host: Host,
    limit: int | None = None,
) -> dict[str, float]:
    """Return how well single latents stand for single factors of variation.

    The keys are disentanglement/{metric}: mig_hist{bins}; sap_r2 and sap_svc; dci_{trees}_ with
    disentanglement, completeness and informativeness; factor_vae_score; beta_vae_score; and
    gaussian_total_correlation. A model with a posterior also has mig_chen, mig_chen_no_shape if a
    factor is called shape, and active_units. All but the last two are between 0 and 1, and each has
    its file in this room. disentanglement/mig_hist{bins}/{factor} is the gap of one factor.

    The metrics are of `num` test images. What is trained, in DCI and sap_svc, is trained on as many
    training images. Each number has a standard error over the images, {key}_se: the standard deviation
    of the numbers of five parts of them, over sqrt(5). Other seeds of training differ by far more.

    disentanglement.png shows the mutual informations and the importances of DCI, with the best two
    latents of each factor.

    Args:
        model: A model with latents, in eval mode; of a VAE the posterior means are taken.
        data: Data with factors. Those that do not vary are left out.
        num: Number of test images, and of training images; fewer where there are fewer.
        bins: Bins of a latent, see `mig_hist`.
        trees: Variant of DCI, see `gdl.evaluation.disentangling.dci.VARIANTS`.
        prune: Standard deviation below which a latent never wins the vote of `factor_vae_score`.
        batch_size: Images at a time.
        seed: Seeds the choice of images and all draws.
        host: Says where the picture goes.
        limit: Only the first so many test images, and training images.

    Raises:
        Incapable: The data have no factors, or the model no latents or too many, or there is one image.
        GdlError: An option is none, or there are too few images for the values of a factor.
    """
    check(model, data)
    assert isinstance(data, HasFactors)
    at_least_one("bins of measure=disentanglement", bins)
    check_variant(trees)
    picture = host.file("disentanglement.png")
    test = encoded(model, data, "test", num, batch_size, seed, limit)
    several_images("disentanglement", "test", test.codes)
    train = encoded(model, data, "train", num, batch_size, seed, limit)
    if not bool(train.codes.isfinite().all() and test.codes.isfinite().all()):
        raise GdlError(
            "The model's latents are not all finite: train it again, with a lower rate."
        )
    varies = (test.factors != test.factors[:1]).any(0)
    names = [name for name, v in zip(data.factor_names, varies.tolist(), strict=True) if v]
    if not names:
        raise GdlError(f"No factor varies in {len(test.codes)} test images: raise limit.")
    train, test = train.of_factors(varies), test.of_factors(varies)

    def numbers(train: Encoded, test: Encoded) -> tuple[dict[str, float], DCI]:
        found = dci(train.codes, train.factors, test.codes, test.factors, trees, seed)
        scores = {f"dci_{trees}_{name}": getattr(found, name) for name in DCI._fields[:3]}
        gaps = _gaps(train, test, names, bins, seed)
        votes = (len(test.codes), max(1, len(test.codes) // 2))
        scores |= {name: float(gap.mean()) for name, gap in gaps.items()}
        x = (test.codes, test.factors, *votes)
        scores["factor_vae_score"] = factor_vae_score(*x, prune=prune, seed=seed)
        scores["beta_vae_score"] = beta_vae_score(*x, seed=seed)
        scores["gaussian_total_correlation"] = gaussian_total_correlation(test.codes)
        return scores, found

    whole, found = numbers(train, test)
    errors = {}
    if min(len(train.codes), len(test.codes)) >= PARTS * FEWEST:
        parts = [numbers(train.part(i, PARTS), test.part(i, PARTS))[0] for i in range(PARTS)]
        for name in whole:
            spread = torch.tensor([part[name] for part in parts]).double().std()
            errors[f"{name}_se"] = float(spread) / PARTS**0.5
    if test.log_std is not None:
        whole["active_units"] = int((test.codes.double().var(0) > 0.01).sum())
    information = mutual_information(discretized(test.codes, bins), test.factors)
    information /= entropies(test.factors)
    title = f"mig_hist{bins} {whole[f'mig_hist{bins}']:.3f}"
    figure = latents_and_factors(information, found.importance, names, title)
    save_figure(figure, picture, subject(model.config) or type(model).__name__)
    per_factor = mig_hist(test.codes, test.factors, bins).tolist()
    whole |= {f"mig_hist{bins}/{n}": gap for n, gap in zip(names, per_factor, strict=True)}
    whole["images"] = len(test.codes)
    return {f"{PREFIX}{name}": value for name, value in (whole | errors).items()}


def _gaps(
    train: Encoded, test: Encoded, names: list[str], bins: int, seed: int
) -> dict[str, Tensor]:
    """Return the metrics that are a mean over the factors, as (F,)."""
    x = (test.codes, test.factors)
    gaps = {f"mig_hist{bins}": mig_hist(*x, bins)}
    if test.log_std is not None:
        gaps["mig_chen"] = chen = mig_chen(test.codes, test.log_std, test.factors, seed)
        others = [i for i, name in enumerate(names) if name != "shape"]
        if 0 < len(others) < len(names):
            gaps["mig_chen_no_shape"] = chen[others]
    gaps["sap_r2"] = sap_r2(*x)
    gaps["sap_svc"] = sap_svc(train.codes, train.factors, *x)
    return gaps
