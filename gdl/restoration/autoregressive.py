"""Restoration by autoregressive models: exact where known pixels come first, else by particles."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.corruptions import Seen
from gdl.families.autoregressive import AutoregressiveModel
from gdl.restoration.constraint import Constraint, constraint_of, draw_indices
from gdl.restoration.particles import particles_given, particles_of_noise

__all__ = ["ByConditionals"]


@dataclass
class ByConditionals:
    """Draws of p(x | what is seen) of an autoregressive model.

    Exact, if all known pixels come before all unknown ones in the model's order: then each unknown
    pixel is drawn from its own conditional. Otherwise, and under noise, by particles, see
    `gdl.restoration.particles`: exact in the limit of many particles, and approximate with few. `note`
    says which it was, and how many particles were worth something.

    Args:
        model: The model, in eval mode.
        particles: Of each draw, where they are needed; at least 1. With one, an unknown pixel does
            not look at what is seen after it.
        stages: In how many parts of the image, at most, the particles are drawn and weighted.
    """

    model: AutoregressiveModel
    particles: int = 16
    stages: int = 28
    effective: list[float] = field(default_factory=list)

    @property
    def note(self) -> str:
        """One sentence: what is exact and what is approximate in the draws so far."""
        if not self.effective:
            return "The draws are exact: the known pixels come first in the model's order."
        return (
            "The draws are approximate: something is seen of pixels that come after unknown ones in the "
            f"model's order, so each draw is one of {self.particles} particles, weighted by what is "
            f"seen ({mean(self.effective):.1f} of them effective, at the worst place of an image, on "
            "average); exact in the limit of many."
        )

    @torch.inference_mode()
    def __call__(
        self, seen: Seen, *, draws: int = 1, seed: int = 0, indices: Sequence[int] | None = None
    ) -> Tensor:
        """See `Restorer`."""
        model = self.model
        assert model.levels is not None
        given = constraint_of(seen, model.levels, model.device, type(model).__name__)
        self.refuse(given)
        numbers = draw_indices(indices, len(given.x), draws)
        every = given.of(torch.arange(len(given.x)).repeat_interleave(draws))
        x, known, how = every.x, every.known, (self.particles, self.stages, seed, numbers)
        if not given.is_noisy and model.known_come_first(given.known):
            drawn = model.sample_given(len(x), x, known, seed=seed, indices=numbers)
        else:
            noisy = given.is_noisy
            found = (
                particles_of_noise(model, every, *how)
                if noisy
                else particles_given(model, x, known, *how)
            )
            drawn = found.x
            self.effective += found.effective.tolist()
        images = drawn.unflatten(0, (-1, draws)).transpose(0, 1)
        return images.to(torch.float32) / (model.levels - 1)

    def refuse(self, given: Constraint) -> None:
        """Refuse what this model cannot condition on.

        Raises:
            Incapable: There is noise, and the model is conditional or a mixture over orders.
            GdlError: The mask splits the channels of a pixel which the model draws together.
        """
        self.model.known_come_first(given.known)
        if given.is_noisy and (self.model.num_classes or len(self.model.orders) > 1):
            raise Incapable(
                f"This {type(self.model).__name__} is conditional or a mixture over orders, and noise is "
                "removed by unconditional models with one order: train with model.conditional=false "
                "and model.num_masks=1, or use a run of model=denoising_ae."
            )
