"""How far sets of images are from the test images, in features of a classifier trained by gdl.

The numbers are not "FID": that name belongs to one particular Inception network. They depend on
the classifier, which is why its name is in theirs, and on the number of images.
"""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import HasLatents, refuse
from gdl.data.base import ImageData
from gdl.errors import GdlError
from gdl.evaluation.classifier import classifier_for
from gdl.evaluation.held_out import held_out, held_out_labels
from gdl.evaluation.units import several_images
from gdl.families.base import GenerativeModel
from gdl.noise import SampleNoise, mix_seed

__all__ = ["distances", "fit_mixture", "frechet_distance", "kernel_distance"]

BATCH = 500
Labels = tuple[()] | tuple[Tensor]
"""The labels (N,) of a conditional model's images, or nothing."""
NUM_COMPONENTS, MAX_CODES = 10, 20_000


class _Autoencoder(HasLatents, Protocol):
    @property
    def device(self) -> torch.device: ...


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Return the squared Fréchet distance of Gaussians fitted to features (N, D) and (M, D).

    |m_a - m_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^(1/2)) (Heusel et al., 2017, arXiv 1706.08500,
    Eq. 6), in float64, in squared units of the features. The trace of the root is the sum of the
    singular values of S_a^(1/2) S_b^(1/2), whose factors are roots of symmetric matrices; that
    keeps it real and exact where covariances are singular. It is biased upwards for finite N, and
    NaN where a feature is not finite.
    """
    a, b = a.double(), b.double()
    if not bool(a.isfinite().all() and b.isfinite().all()):
        return math.nan
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    shift = (a.mean(0) - b.mean(0)).square().sum()
    cross = torch.linalg.svdvals(_root(cov_a) @ _root(cov_b)).sum()
    return float(shift + cov_a.trace() + cov_b.trace() - 2 * cross)


def _root(cov: Tensor) -> Tensor:
    """Return the symmetric square root of a positive semidefinite matrix (D, D)."""
    values, vectors = torch.linalg.eigh(cov)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Return the squared maximum mean discrepancy of features (N, D) and (M, D), unbiased.

    The kernel is (x.y / D + 1)^3 (Binkowski et al., 2018, arXiv 1801.01401, Eqs. 4 and 6), in
    float64. It may be negative: its expectation is zero for two sets of one distribution.

    Note:
        The paper averages over random subsets; this is the estimate from all pairs, which has a
        smaller variance and needs no random numbers.
    """
    a, b = a.double(), b.double()
    return _mean_kernel(a, a, True) + _mean_kernel(b, b, True) - 2 * _mean_kernel(a, b, False)


def _mean_kernel(a: Tensor, b: Tensor, same: bool) -> float:
    """Return the mean of the kernel over pairs of rows; of a set with itself, distinct ones."""
    kernel = lambda dot: (dot / a.shape[1] + 1) ** 3  # noqa: E731
    total = sum(float(kernel(rows @ b.T).sum()) for rows in a.split(1000))
    if not same:
        return total / (len(a) * len(b))
    return (total - float(kernel(a.square().sum(1)).sum())) / (len(a) * (len(a) - 1))


def distances(
    model: GenerativeModel,
    data: ImageData,
    name: str | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str, float]:
    """Return the distances of a model's images to the N test images (Ghosh et al., 2020, Table 1).

    Keys are fd-<name>/<set> (Fréchet) and kd-<name>/<set> (kernel), where a set is one of
      reconstructions: decoded codes of the test images;
      prior_samples: decoded draws from N(0, I), N of them;
      mixture_samples: decoded draws from a Gaussian mixture fitted to codes of training images;
      train: N training images, or all if there are fewer: about the floor for a perfect model;
    and <name>/accuracy, the classifier's accuracy on the test images, and <name>/num_images = N.
    (Ghosh et al., "From variational to deterministic autoencoders", arXiv 1903.12436.)

    Codes are the encoder's output, of a VAE the posterior mean. Every decoded image is the output
    of `decode`, E[x | z] in [0, levels - 1], neither rounded nor drawn from p(x | z), so that an
    autoencoder and a VAE, and the three sets, are treated alike. Where E[x | z] is grey and images
    are binary, all three sets are far from the test images for that reason alone. A conditional model
    encodes with the labels of the images and decodes with those of the test images.

    Args:
        model: In eval mode, with encode and decode.
        data: What it was trained on, with labels.
        name: Of the classifier, see `classifier_for`; by default cnn-mnist of a run of data=mnist.
        seed: Seeds the latents, the mixture and the choice of training images.
        limit: Only the first so many test images; the classifier is the same.

    Raises:
        Incapable: The model has no latents, or there is one image.
        GdlError: The data set has no labels.
    """
    if not isinstance(model, HasLatents):
        asked = "measure=distances asks for latents to reconstruct and sample from"
        refuse(model, HasLatents, asked, models)
    for split, images in (("test", held_out(data, limit)), ("train", data.images("train"))):
        several_images("distances", split, images)
    choice = model.config.get("choices", {}).get("data", type(data).__name__.lower())
    name = name or f"cnn-{choice}"
    classifier, accuracy = classifier_for(data, name, model.device)
    test, train = held_out(data, limit), data.images("train")
    generator = torch.Generator().manual_seed(mix_seed("distances", seed))
    order = torch.randperm(len(train), generator=generator).to(train.device)
    train = train[order]
    of_train, of_test = _labels(model, data, order, limit)
    features = lambda x: classifier.features(x.to(model.device))  # noqa: E731
    decoded = lambda z, *y: features(model.decode(z.to(model.device, model.dtype), *y))  # noqa: E731
    sets = {
        label: _in_batches(decoded, z, *of_test)
        for label, z in _latents(model, train, test, seed, of_train, of_test).items()
    }
    sets["train"] = _in_batches(features, train[: len(test)])
    target = _in_batches(features, test)
    metrics = {f"{name}/accuracy": accuracy, f"{name}/num_images": float(len(test))}
    for label, found in sets.items():
        metrics[f"fd-{name}/{label}"] = frechet_distance(found, target)
        metrics[f"kd-{name}/{label}"] = kernel_distance(found, target)
    return metrics


def fit_mixture(codes: Tensor, n: int, seed: int) -> Tensor:
    """Fit 10 Gaussians with full covariances to codes (N, *latent_shape); return n draws.

    There is at most one Gaussian for each code. The draws are NaN where a code is not finite.
    """
    if not bool(codes.isfinite().all()):
        return codes.new_full((n, *codes.shape[1:]), math.nan)
    from sklearn.mixture import GaussianMixture  # scikit-learn takes a second to import

    flat = codes.flatten(1).double()
    # the fit adds 1e-6 to variances, which should mean the same for codes of any scale
    scale = flat.std().clamp(min=1e-12)
    components = min(NUM_COMPONENTS, len(flat))
    mixture = GaussianMixture(components, covariance_type="full", random_state=seed)
    draws, _ = mixture.fit((flat / scale).numpy()).sample(n)
    return (torch.from_numpy(draws) * scale).view(n, *codes.shape[1:]).to(codes.dtype)


def _labels(
    model: GenerativeModel, data: ImageData, order: Tensor, limit: int | None
) -> tuple[Labels, Labels]:
    """Return the labels of training and test images for a conditional model, () for any other.

    Raises:
        GdlError: Some training images have no label, which the model needs.
    """
    of_test, of_train = held_out_labels(model, data, limit), data.labels("train")
    if of_test is None or of_train is None:
        return (), ()
    of_train = of_train.to(order.device)[order][:MAX_CODES]
    if bool((of_train < 0).any()) and not model.label_dropout:
        raise GdlError(
            f"This {type(model).__name__} encodes images with their label, which some training images "
            "do not have: measure=distances needs a model that was trained with model.label_dropout."
        )
    return (of_train.to(model.device),), (of_test,)


def _latents(
    model: _Autoencoder,
    train: Tensor,
    test: Tensor,
    seed: int,
    of_train: Labels = (),
    of_test: Labels = (),
) -> dict[str, Tensor]:
    """Return three sets of N latents (N, *latent_shape) for N test images, on the CPU."""
    encode = lambda x, *y: model.encode(x.to(model.device), *y)  # noqa: E731
    # the prior's draws are those of `sample` with this seed
    prior = lambda k: SampleNoise(seed, k.tolist()).normal(*model.latent_shape)  # noqa: E731
    codes = _in_batches(encode, train[:MAX_CODES], *of_train)
    return {
        "reconstructions": _in_batches(encode, test, *of_test),
        "prior_samples": _in_batches(prior, torch.arange(len(test))),
        "mixture_samples": fit_mixture(codes, len(test), seed),
    }


@torch.inference_mode()
def _in_batches(f: Callable[..., Tensor], *x: Tensor) -> Tensor:
    """Return f(*x) on the CPU; only one batch of images is held on the way."""
    batches = zip(*(t.split(BATCH) for t in x), strict=True)
    return torch.cat([f(*batch).cpu() for batch in batches])
