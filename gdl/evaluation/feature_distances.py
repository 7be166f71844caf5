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
from gdl.evaluation.classifier import classifier_for
from gdl.evaluation.held_out import held_out
from gdl.evaluation.units import several_images
from gdl.families.base import GenerativeModel
from gdl.noise import SampleNoise, mix_seed

__all__ = ["distances", "fit_mixture", "frechet_distance", "kernel_distance"]

BATCH = 500
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
    are binary, all three sets are far from the test images for that reason alone.

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
    train = train[torch.randperm(len(train), generator=generator).to(train.device)]
    features = lambda x: classifier.features(x.to(model.device))  # noqa: E731
    decoded = lambda z: features(model.decode(z.to(model.device, model.dtype)))  # noqa: E731
    sets = {
        label: _in_batches(decoded, z) for label, z in _latents(model, train, test, seed).items()
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


def _latents(model: _Autoencoder, train: Tensor, test: Tensor, seed: int) -> dict[str, Tensor]:
    """Return three sets of N latents (N, *latent_shape) for N test images, on the CPU."""
    encode = lambda x: model.encode(x.to(model.device))  # noqa: E731
    # the prior's draws are those of `sample` with this seed
    prior = lambda k: SampleNoise(seed, k.tolist()).normal(*model.latent_shape)  # noqa: E731
    codes = _in_batches(encode, train[:MAX_CODES])
    return {
        "reconstructions": _in_batches(encode, test),
        "prior_samples": _in_batches(prior, torch.arange(len(test))),
        "mixture_samples": fit_mixture(codes, len(test), seed),
    }


@torch.inference_mode()
def _in_batches(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return f(x) on the CPU; only one batch of images is held on the way."""
    return torch.cat([f(batch).cpu() for batch in x.split(BATCH)])
