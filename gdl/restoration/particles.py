"""Particle filters: what an autoregressive model draws where it is told of later pixels, or of noise.

Gordon, Salmond & Smith, 1993, "Novel approach to nonlinear/non-Gaussian Bayesian state estimation";
Doucet & Johansen, 2009, "A tutorial on particle filtering and smoothing".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gdl.families.autoregressive import AutoregressiveModel
from gdl.noise import SampleNoise, mix_seed
from gdl.restoration.constraint import Constraint

__all__ = ["Particles", "particles_given", "particles_of_noise"]

AT_ONCE = 512
"""Images that are drawn together, which bounds the memory."""


@dataclass(frozen=True)
class Particles:
    """Of each of B images, one draw, and what the particles tell of what is seen.

    Args:
        x: Draws (B, C, H, W) uint8.
        log_seen: An estimate (B,) of the log-probability of what is seen, in nats. Its exponential has
            the right mean, so it is too small on average. Of noise it lacks a constant.
        effective: The effective number of particles (B,), the smallest of all stages.
    """

    x: Tensor
    log_seen: Tensor
    effective: Tensor


Stage = Callable[[Tensor, int, list[int]], tuple[Tensor, Tensor]]
"""Draws a part of all particles (n, C, H, W), given its number and the particles' indices, and returns
them with their log weights (n,)."""


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
    """Return a completion of each image by a particle filter.

    The unknown pixels are drawn in parts, in the model's order, each pixel from its own conditional.
    After each part, a particle is weighted by the probability that the model gives to the known
    pixels of the part and after it, and the particles are resampled. With many particles the
    completion is a draw of p(unknown | known). A part is a run of unknown pixels, or several where
    there are more runs than stages. A conditional model and a mixture over orders have one part.

    Args:
        model: The model, in eval mode.
        x: Images (B, C, H, W) uint8, of which the known pixels are used.
        known: Boolean (B, C, H, W).
        particles: K, of each image.
        stages: Parts at most.
        seed: Completion i depends on (seed, indices[i]) only.
        indices: By default 0 to B - 1.
    """
    one_part = bool(model.num_classes) or len(model.orders) > 1
    every = torch.zeros_like(x) if one_part else _stages(model, known, stages)

    def of(some: Tensor) -> tuple[Tensor, int, Stage]:
        mine, part = (t[some].repeat_interleave(particles, 0) for t in (known, every))

        def stage(state: Tensor, s: int, numbers: list[int]) -> tuple[Tensor, Tensor]:
            options = {"seed": mix_seed("particles", seed, s), "indices": numbers}
            state = model.sample_given(len(state), state, mine | (part != s), **options)
            if one_part:
                return state, model.log_prob(state) - model.log_prob_given(state, mine)
            return state, model.log_prob_given(state, ~(mine & (part == s)))

        return torch.where(known[some], x[some], 0), int(part.max()) + 1, stage

    return _filtered(of, len(x), particles, seed, indices)


@torch.inference_mode()
def particles_of_noise(
    model: AutoregressiveModel,
    given: Constraint,
    particles: int,
    stages: int,
    seed: int = 0,
    indices: Sequence[int] | None = None,
) -> Particles:
    """Return a draw of each image given noisy pixels, by a particle filter.

    Each noisy pixel is drawn from its conditional times the likelihood of its noise, and a particle is
    weighted by the sum of the product over all levels; see `particles_given`. The parts are as long
    as each other.

    Args:
        model: An unconditional model with one order, in eval mode.
        given: What is seen of B images.
        particles: See `particles_given`.
        stages: Number of parts.
        seed: See `particles_given`.
        indices: See `particles_given`.
    """
    n = model.num_positions
    count = min(stages, n)
    first = [s * n // count for s in range(count + 1)]

    def of(some: Tensor) -> tuple[Tensor, int, Stage]:
        mine = given.of(some.repeat_interleave(particles))

        def stage(state: Tensor, s: int, numbers: list[int]) -> tuple[Tensor, Tensor]:
            noise = SampleNoise(mix_seed("noisy", seed, s), numbers, model.device, model.dtype)
            return _tilted(model, mine, state, first[s], first[s + 1], noise)

        return torch.where(given.known, given.x, 0)[some], count, stage

    return _filtered(of, len(given.x), particles, seed, indices)


def _filtered(
    of: Callable[[Tensor], tuple[Tensor, int, Stage]],
    images: int,
    k: int,
    seed: int,
    indices: Sequence[int] | None,
) -> Particles:
    """Return draws of all images, some at a time; `of` says where some start, and their stages."""
    own, parts = list(range(images) if indices is None else indices), []
    for some in torch.arange(images).split(max(1, AT_ONCE // k)):
        mine = [own[i] for i in some.tolist()]
        numbers = [i * k + j for i in mine for j in range(k)]
        state, stages, stage = of(some)
        state = state.repeat_interleave(k, 0)
        offset = torch.arange(len(some), device=state.device)[:, None] * k
        log_seen, effective = torch.zeros(len(some), dtype=torch.float64), []
        for s in range(stages):
            state, log_w = stage(state, s, numbers)
            log_w = log_w.double().view(-1, k)
            log_seen = log_seen.to(log_w) + log_w.logsumexp(1) - math.log(k)
            w = log_w.softmax(1)
            effective.append(1 / w.square().sum(1))
            # systematic resampling: particles of equal weights all stay
            noise = SampleNoise(mix_seed("resample", seed, s), mine, state.device, torch.float64)
            points = (torch.arange(k, device=state.device) + noise.uniform(1)) / k
            chosen = torch.searchsorted(w.cumsum(1), points).clamp(max=k - 1)
            state = state[(offset + chosen).flatten()]
        noise = SampleNoise(mix_seed("choose", seed), mine, state.device, torch.float64)
        chosen = (k * noise.uniform(1)).long()
        x = state[(offset + chosen).flatten()]
        parts.append((x, log_seen, torch.stack(effective).amin(0)))
    return Particles(*(torch.cat(each) for each in zip(*parts, strict=True)))


def _stages(model: AutoregressiveModel, known: Tensor, stages: int) -> Tensor:
    """Return the stage (B, C, H, W) in which each pixel is drawn, or weighted if it is known."""
    unknown = ~model.sequence(known)[..., 0]
    starts = unknown & ~torch.cat([torch.zeros_like(unknown[:, :1]), unknown[:, :-1]], 1)
    run = (starts.cumsum(1) - 1).clamp(min=0)
    runs = run.max(1, keepdim=True).values + 1
    stage = torch.where(runs > stages, run * stages // runs, run)
    return model.image(stage[..., None].expand(-1, -1, model.values))


def _tilted(
    model: AutoregressiveModel,
    given: Constraint,
    state: Tensor,
    start: int,
    stop: int,
    noise: SampleNoise,
) -> tuple[Tensor, Tensor]:
    """Return images (n, C, H, W) with the positions from start to stop drawn, and log weights (n,).

    Each is drawn from its conditional times what is seen of it; the weight is the sum of the product.
    """
    s, known = model.sequence(state), model.sequence(given.known)
    y, noisy = model.sequence(given.y), model.sequence(given.noisy)
    u = noise.uniform(stop - start, model.values)
    log_w = torch.zeros(s.shape[:2], dtype=torch.float64, device=s.device)
    levels = torch.arange(given.levels, device=s.device)[:, None, None]
    steps = model.steps(len(s))
    first, params = next(steps)
    while first < stop:
        block = slice(max(first, start), min(first + params.shape[1], stop))
        if block.start < block.stop:
            inner = slice(block.start - first, block.stop - first)
            image = params[:, inner].transpose(1, 2)[..., None]
            drawn = image.new_zeros(len(s), model.values, block.stop - block.start, 1).byte()
            column = lambda t, c: t[:, block, c][:, None, :, None]  # noqa: E731, B023
            total = torch.zeros_like(log_w[:, block])
            for c in range(model.values):
                p = model.likelihood.probabilities(image, drawn[:, :c]).double()
                gap = (column(y, c) - levels / (given.levels - 1)) / max(given.sigma, 1e-9)
                tilt = torch.where(column(noisy, c), gap.square() / -2, 0)
                tilt = torch.where(column(known, c) & (levels != column(s, c)), -torch.inf, tilt)
                highest = tilt.amax(1, keepdim=True)
                below = (p * (tilt - highest).exp()).cumsum(1)
                total += (below[:, -1:].log() + highest)[:, 0, :, 0]
                wanted = below[:, -1:] * u[:, block.start - start : block.stop - start, c][
                    :, None, :, None
                ]
                drawn[:, c] = (below[:, :-1] < wanted).sum(1).byte()
            # where the block is a guess, it is yielded again with the right parameters
            s[:, block], log_w[:, block] = drawn[..., 0].transpose(1, 2), total
        first, params = _sent(steps, s[:, first : first + params.shape[1]], stop)
    return model.image(s), log_w.sum(1)


def _sent(steps, values: Tensor, stop: int):
    """Return the next block, or one at the end."""
    try:
        return steps.send(values)
    except StopIteration:
        return stop, values
