"""What a model can do, as protocols: a model has a capability or lacks it, there are no stubs."""

import inspect
from types import ModuleType
from typing import Any, NoReturn, Protocol, runtime_checkable

from torch import Tensor

from gdl.errors import GdlError

__all__ = [
    "Continues",
    "HasFeatures",
    "HasImportanceWeights",
    "HasLatents",
    "HasLogProb",
    "HasPosterior",
    "Incapable",
    "InitializesFromData",
    "Invertible",
    "MapsContinuous",
    "MayBeOfPairs",
    "Restores",
    "Samples",
    "SamplesGiven",
    "ScoresGiven",
    "refuse",
]


@runtime_checkable
class HasLogProb(Protocol):
    """Scores images exactly."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) in nats, shape (B,), of images (B, C, H, W) uint8."""
        ...


@runtime_checkable
class Samples(Protocol):
    """Draws images from the model's distribution."""

    def sample(
        self, n: int, *, seed: int = 0, temperature: float = 1.0, mean: bool = False
    ) -> Tensor:
        """Return n images (n, C, H, W) in [0, levels - 1]; image k depends on (seed, k) only.

        A conditional model also takes `label`: a class, or one for each image (n,), and None draws the
        classes from p(y).
        """
        ...


@runtime_checkable
class SamplesGiven(Protocol):
    """Completes images of which some pixels are known."""

    def sample_given(
        self, n: int, given: Tensor, known: Tensor, *, seed: int = 0, temperature: float = 1.0
    ) -> Tensor:
        """Return n completions (n, C, H, W) uint8; completion k depends on (seed, k) only.

        A conditional model also takes `label`, see `Samples`.

        `given` is an image (C, H, W) uint8 or one for each completion (n, C, H, W), and the boolean
        mask `known` likewise.
        """
        ...


@runtime_checkable
class MayBeOfPairs(Protocol):
    """May be a model of targets given their sources, which has no density of whole windows."""

    def refuse_pairs(self, asked: str) -> None:
        """Raise `Incapable`, with a sentence that begins with what was asked, if it is one."""
        ...


@runtime_checkable
class ScoresGiven(Protocol):
    """Scores some pixels of an image given the others."""

    def log_prob_given(self, x: Tensor, known: Tensor) -> Tensor:
        """Return the log-probability (B,) in nats of the unknown pixels of images x, given the others.

        Args:
            x: Images (B, C, H, W) uint8.
            known: Boolean mask (C, H, W) or (B, C, H, W).
        """
        ...

    def known_come_first(self, known: Tensor) -> bool:
        """Return whether the scores of these masks (..., C, H, W) are log p(unknown | known)."""
        ...


@runtime_checkable
class Continues(Protocol):
    """Draws what follows a beginning, value by value; see `gdl.families.windows.continuations`."""

    def steps_from(self, prefix: Tensor, y: Tensor | None, naive: bool) -> Any:
        """Return the steps behind a known beginning (n, t, V); see `gdl.families.ancestral`."""
        ...


@runtime_checkable
class HasLatents(Protocol):
    """Maps images to latents and back, without randomness."""

    latent_shape: tuple[int, ...]

    def encode(self, x: Tensor) -> Tensor:
        """Return the latents (B, *latent_shape) of images (B, C, H, W) uint8.

        A conditional model also takes labels y (B,), and so do the other methods of latents.
        """
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Return images (B, C, H, W), floating point in [0, levels - 1], of latents."""
        ...


@runtime_checkable
class HasFeatures(Protocol):
    """Describes an image by a vector that it has learned, for probes and maps."""

    def features(self, x: Tensor) -> Tensor:
        """Return a vector (B, F), floating point, of each image (B, C, H, W) uint8.

        Latents where there are some, else the last hidden layer, as its mean over the positions where
        it has one for each. A conditional model with latents also takes labels y (B,).
        """
        ...


@runtime_checkable
class HasImportanceWeights(Protocol):
    """Estimates p(x) = E_q[p(x | z) p(z) / q(z | x)] from draws of latents z."""

    def log_weights(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return log p(x | z) and log p(z) - log q(z | x), each (k, B) in nats, of k draws z ~ q.

        Images x are (B, C, H, W) uint8.
        """
        ...


@runtime_checkable
class HasPosterior(HasLatents, Protocol):
    """Has a prior N(0, I) of its latents and a Gaussian q(z | x) with a diagonal covariance."""

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation (B, M) of q(z | x) of images (B, C, H, W)."""
        ...

    def log_joint(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return log p(x | z) and log p(z), each (..., B) in nats, for z (..., B, M)."""
        ...


# A protocol names methods and plain values only: from Python 3.12 on, isinstance does not see the
# submodules of a module.
@runtime_checkable
class Invertible(HasLatents, HasLogProb, Protocol):
    """A normalizing flow: `decode` is the exact inverse of `encode`."""

    def sample_continuous(self, n: int, *, seed: int = 0, temperature: float = 1.0) -> Tensor:
        """Return n draws (n, ...) of the continuous density, before they are rounded to pixels."""
        ...


@runtime_checkable
class MapsContinuous(Protocol):
    """A flow on continuous y, of which an image is a rounding."""

    prior: object
    """The distribution of the latents."""

    def middle(self, x: Tensor) -> Tensor:
        """Return the continuous y (B, C, H, W) that images x (B, C, H, W) uint8 stand for."""
        ...

    def latents(self, y: Tensor) -> Tensor:
        """Return the latents (B, D) of continuous y (B, C, H, W), differentiable."""
        ...


@runtime_checkable
class Restores(Protocol):
    """Undoes the corruption that it was trained on."""

    corruption: Any
    """The `gdl.corruptions.Corruption`."""

    def restore(self, seen: Any) -> Tensor:
        """Return images (B, C, H, W) in [0, 1] of a `gdl.corruptions.Seen`."""
        ...


@runtime_checkable
class InitializesFromData(Protocol):
    """Sets some parameters from training images, once, before the first step."""

    def initialize(self, x: Tensor) -> None:
        """Initialise from training images (N, C, H, W) uint8."""
        ...


class Incapable(GdlError):
    """The model, or the data, lack what a measure or a task asks for."""


CHOICES = {"autoencoder": "ae", "denoising_autoencoder": "denoising_ae"}
"""Names of files in conf/model that are not the name of the module of their class."""


def refuse(model: object, protocol: type, asked: str, room: ModuleType) -> NoReturn:
    """Say that a model lacks a capability, and which models have it.

    Args:
        model: The model.
        protocol: The capability.
        asked: Beginning of the sentence, e.g. "task=interpolate asks for latents".
        room: Package of the models to propose, of its public names.

    Raises:
        Incapable: Always.
    """
    methods = [
        name
        for kind in protocol.__mro__
        for name, member in vars(kind).items()
        if inspect.isfunction(member) and not name.startswith("_")
    ]
    kinds: list[type] = [getattr(room, name) for name in room.__all__]
    modules = [
        kind.__module__.rpartition(".")[2]
        for kind in kinds
        if all(hasattr(kind, method) for method in methods) and kind is not type(model)
    ]
    *most, last = sorted(CHOICES.get(module, module) for module in modules)
    choices = f"{', '.join(most)} or {last}" if most else last
    raise Incapable(f"{asked}, which {type(model).__name__} lacks: use a run of model={choices}.")
