"""Completion by autoregressive models: exact where the known pixels come first, else by particles."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean

import torch
from torch import Tensor

from gdl.corruptions import Seen
from gdl.families.autoregressive import AutoregressiveModel
from gdl.noise import SampleNoise, mix_seed
from gdl.restoration.constraint import constraint_of, draw_indices

__all__ = ["ByConditionals", "particles_given"]

AT_ONCE = 512
"""Images that are drawn together, which bounds the memory."""


@dataclass
class ByConditionals:
    """Draws of p(unknown | known) of an autoregressive model.

    Exact, if all known pixels come before all unknown ones in the model's order: then each unknown
    pixel is drawn from its own conditional. Otherwise by particles, see `particles_given`: exact in
    the limit of many particles, and approximate with few. `note` says which it was, and how many
    particles were worth something.

    Args:
        model: The model, in eval mode.
        particles: Of each draw, where known pixels come later; at least 1. With one, the unknown
            pixels do not look at the known pixels after them.
        stages: After how many parts of the image, at most, the particles are weighted.
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
            f"The draws are approximate: some known pixels come after unknown ones in the model's "
            f"order, so each draw is one of {self.particles} particles, weighted by the known pixels "
            f"({mean(self.effective):.1f} of them effective on average); exact in the limit of many."
        )

    @torch.inference_mode()
    def __call__(
        self, seen: Seen, *, draws: int = 1, seed: int = 0, indices: Sequence[int] | None = None
    ) -> Tensor:
        """See `Restorer`."""
        model = self.model
        assert model.levels is not None
        given = constraint_of(seen, model.levels, model.device, type(model).__name__)
        numbers = draw_indices(indices, len(given.x), draws)
        x, known = (t.repeat_interleave(draws, 0) for t in (given.x, given.known))
        if model.known_come_first(given.known):
            drawn = model.sample_given(len(x), x, known, seed=seed, indices=numbers)
        else:
            found = particles_given(model, x, known, self.particles, self.stages, seed, numbers)
            drawn = found.x
            self.effective += found.effective.tolist()
        images = drawn.unflatten(0, (-1, draws)).transpose(0, 1)
        return images.to(torch.float32) / (model.levels - 1)


@dataclass(frozen=True)
class Particles:
    """Of each of B images, one completion, and what the particles tell of the known pixels.

    Args:
        x: Completions (B, C, H, W) uint8.
        log_known: An estimate (B,) of log p(known) in nats: exp of it has the mean p(known), so it is
            too small on average.
        effective: The number of particles that are worth something (B,), as a mean over the stages.
    """

    x: Tensor
    log_known: Tensor
    effective: Tensor


@torch.inference_mode()
def particles_given(
    model: AutoregressiveModel,
    x: Tensor,
    known: Tensor,
    particles: int,
    stages: int,
    seed: int = 0,
    indices: Sequence[int] | None = None,
) -> Particles:
    """Return a completion of each image by sequential importance resampling (a particle filter).

    The unknown pixels are drawn in parts, in the model's order, each pixel from its own conditional.
    After each part, a particle is weighted by the probability that the model gives to the known
    pixels of the part and after it, and the particles are resampled (Gordon et al., 1993, "Novel
    approach to nonlinear/non-Gaussian Bayesian state estimation"). With many particles the completion
    is a draw of p(unknown | known). A part is a run of unknown pixels, or several where there are more
    runs than stages. A conditional model and a mixture over orders have one part.

    Args:
        model: The model, in eval mode.
        x: Images (B, C, H, W) uint8, of which the known pixels are used.
        known: Boolean (B, C, H, W).
        particles: K, of each image.
        stages: Parts at most.
        seed: Completion i depends on (seed, indices[i]) only.
        indices: By default 0 to B - 1.
    """
    own = list(range(len(x)) if indices is None else indices)
    parts = []
    for some in torch.arange(len(x)).split(max(1, AT_ONCE // particles)):
        numbers = [own[i] for i in some.tolist()]
        parts.append(_filtered(model, x[some], known[some], particles, stages, seed, numbers))
    fields = zip(*((p.x, p.log_known, p.effective) for p in parts), strict=True)
    return Particles(*(torch.cat(each) for each in fields))


def _filtered(
    model: AutoregressiveModel,
    x: Tensor,
    known: Tensor,
    k: int,
    stages: int,
    seed: int,
    indices: list[int],
) -> Particles:
    one_part = bool(model.num_classes) or len(model.orders) > 1
    stage = torch.zeros_like(x) if one_part else _stages(model, known, stages)
    last = int(stage.max())
    numbers = [i * k + j for i in indices for j in range(k)]
    of = torch.arange(len(x), device=x.device)[:, None] * k
    state = torch.where(known, x, 0).repeat_interleave(k, 0)
    known, stage = (t.repeat_interleave(k, 0) for t in (known, stage))
    log_known, effective = 0.0, []
    for s in range(last + 1):
        fixed = known | (stage != s)
        options = {"seed": mix_seed("particles", seed, s), "indices": numbers}
        state = model.sample_given(len(state), state, fixed, **options)
        if one_part:
            log_w = model.log_prob(state) - model.log_prob_given(state, known)
        else:
            log_w = model.log_prob_given(state, ~(known & (stage == s)))
        log_w = log_w.double().view(-1, k)
        log_known = log_known + log_w.logsumexp(1) - torch.tensor(k).double().log()
        w = log_w.softmax(1)
        effective.append(1 / w.square().sum(1))
        # systematic resampling; after the last stage the particles are in random order below
        u = SampleNoise(mix_seed("resample", seed, s), indices, x.device, torch.float64).uniform(1)
        points = (torch.arange(k, device=x.device) + u) / k
        chosen = torch.searchsorted(w.cumsum(1), points).clamp(max=k - 1)
        state = state[(of + chosen).flatten()]
    u = SampleNoise(mix_seed("choose", seed), indices, x.device).uniform(1)
    picked = (of + (u * k).long()).flatten()
    assert isinstance(log_known, Tensor)
    return Particles(state[picked], log_known, torch.stack(effective).mean(0))


def _stages(model: AutoregressiveModel, known: Tensor, stages: int) -> Tensor:
    """Return the stage (B, C, H, W) in which each pixel is drawn, or weighted if it is known."""
    unknown = ~model.sequence(known)[..., 0]
    starts = unknown & ~torch.cat([torch.zeros_like(unknown[:, :1]), unknown[:, :-1]], 1)
    run = (starts.cumsum(1) - 1).clamp(min=0)
    runs = run.max(1, keepdim=True).values + 1
    stage = torch.where(runs > stages, run * stages // runs, run)
    return model.image(stage[..., None].expand(-1, -1, model.values))
