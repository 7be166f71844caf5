"""A set of images under a model, with what several scores need of it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from rich.progress import track
from torch import Tensor

from gdl.capabilities import Incapable, MayBeOfPairs
from gdl.coding import code_lengths
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.noise import same_for_each_image, seed_noise

__all__ = ["Images", "Setting"]


@dataclass(frozen=True)
class Setting:
    """How images are scored.

    Args:
        open_run: Returns the model of another run.
        k: Samples per image of an nll that is a bound.
        batch_size: Images at a time.
        seed: Seeds the draws.
    """

    open_run: Callable[[str], GenerativeModel]
    k: int = 1
    batch_size: int = 500
    seed: int = 0


class Images:
    """Images under a model.

    Args:
        model: In eval mode.
        x: Images (N, C, H, W) uint8 in {0, ..., levels - 1}, or vectors (N, D).
        setting: How they are scored.
        name: What they are, for a progress bar and the seeds of draws.

    Raises:
        GdlError: A number of the setting is not one.
    """

    def __init__(self, model: GenerativeModel, x: Tensor, setting: Setting, name: str) -> None:
        at_least_one("k of the nll", setting.k)
        at_least_one("batch_size", setting.batch_size)
        self.model, self.x, self.setting, self.name = model, x, setting, name
        self._known: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def nll(self) -> Tensor:
        """-log p(x) (N,) in nats, float64, exact or the model's bound from k samples.

        Raises:
            Incapable: The model has no density.
        """
        self.check_density()
        return self.each(lambda x: self.model.nll(x, k=self.setting.k), "nll")

    def check_density(self) -> None:
        """Check that the model has a density.

        Raises:
            Incapable: It has none, or one of targets given their sources.
        """
        if isinstance(self.model, MayBeOfPairs):
            self.model.refuse_pairs("it asks for a density of whole windows")
        if self.model.nll_kind is None:
            raise Incapable(
                f"it asks for a density, which {type(self.model).__name__} lacks: use a run of "
                "model=vae, made, pixelcnn, realnvp or glow."
            )

    @cached_property
    def code_lengths(self) -> dict[str, Tensor]:
        """Bytes (N,) int64 of the code of each image, by codec, see `gdl.coding.code_lengths`."""
        return self.once("code_lengths", lambda: code_lengths(self.x, self.model.levels))

    @torch.no_grad()
    def each(self, f: Callable[[Tensor], Tensor], what: str) -> Tensor:
        """Return f of batches of the images, on the model's device, as one tensor on the CPU.

        Args:
            f: Maps images (B, ...) to (B, ...); its draws are those of the seed and of `what`, the same
                for all images, so that the other images of a batch do not matter. Gradients are off; a
                score that needs them turns them on with torch.enable_grad().
            what: Name of the quantity, for a progress bar and the seeds.
        """
        batches = self.x.split(self.setting.batch_size)
        shown = track(batches, f"{what} of {self.name}", transient=True)
        found = []
        with same_for_each_image():
            for x in shown if sys.stdout.isatty() else batches:
                seed_noise(self.model.device, what, self.setting.seed)
                found.append(f(x.to(self.model.device)).detach().cpu())
        values = torch.cat(found)
        return values.double() if values.is_floating_point() else values

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        """Return make(), computed at the first call with this name: a fit to training images, say."""
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    def under(self, run: str) -> "Images":
        """Return the same images under the model of another run, of the same shape and levels.

        Raises:
            Incapable: The other model is of other images.
        """
        return self.once(("under", run), lambda: self._under(run))

    def _under(self, run: str) -> "Images":
        other = self.setting.open_run(run)
        own = self.model
        if (other.shape, other.levels) != (own.shape, own.levels):
            raise Incapable(
                f"it asks for a run on images of {own.shape} with {own.levels} levels, and those of "
                f"{run} are of {other.shape} with {other.levels}: name a run on the same data."
            )
        return Images(other.to(own.device), self.x, self.setting, self.name)
