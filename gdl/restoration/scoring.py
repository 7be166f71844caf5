"""Numbers of restored images over a set of test images, for a model and baselines alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import signature

import torch
from torch import Tensor

from gdl.corruptions import Corruption, Seen
from gdl.families.terms import with_error
from gdl.noise import SampleNoise
from gdl.restoration.baselines import Baseline
from gdl.restoration.observation import Operator, has_colours, holes_of, is_smaller, parts_of
from gdl.restoration.quality import colourfulness, has_ssim, psnr, ssim_map
from gdl.restoration.restorer import Restorer
from gdl.restored_numbers import PREFIX, best_baseline, name_of, restored

__all__ = ["Scores", "label_of", "on_seen", "score"]

CORRUPTION_SEED = 0
"""Of test images, for all runs and all restorers."""


def label_of(corruption: Corruption) -> str:
    """Return the name of a corruption with its options, a part of keys of metrics.json.

    >>> from gdl.corruptions import GaussianNoise
    >>> label_of(GaussianNoise(0.1))
    'gaussian_noise-sigma=0.1'
    """
    if len(parts := parts_of(corruption)) > 1:
        return "+".join(label_of(part) for part in parts)
    options = {n: getattr(corruption, n, None) for n in signature(type(corruption)).parameters}
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    return "-".join([corruption.name, *given]).replace("/", "|").replace(" ", "")


def on_seen(corruption: Corruption, x: Tensor, first: int = 0) -> Seen:
    """Return what is left of test images `first` to `first` + B - 1, x (B, C, H, W) in [0, 1]."""
    indices = range(first, first + len(x))
    return corruption(x, SampleNoise(CORRUPTION_SEED, indices, x.device, x.dtype))


@dataclass
class Scores:
    """The numbers of each image by method: {method: {number: (N,)}}, see `NUMBERS`."""

    corruption: Corruption
    of: dict[str, dict[str, list[Tensor]]] = field(default_factory=dict)
    settings: dict[str, Mapping[str, float]] = field(default_factory=dict)
    kept: dict[str, Tensor] = field(default_factory=dict)
    """The first images (n, C, H, W), by what they are, for a picture."""

    def keep(self, what: str, images: Tensor, number: int) -> None:
        """Keep images of the first batch."""
        if number:
            self.kept.setdefault(what, images[:number].clamp(0, 1).cpu())

    def add(self, method: str, numbers: Mapping[str, Tensor]) -> None:
        """Add the numbers of a batch."""
        for name, values in numbers.items():
            self.of.setdefault(method, {}).setdefault(name, []).append(values.double().cpu())

    def metrics(self) -> dict[str, float]:
        """Return means and standard errors as numbers of metrics.json.

        "model/gain" is by how many dB the model is better than the best baseline, on the same images.
        Images without a hole are left out of the means over holes.
        """
        prefix, found = f"{PREFIX}{label_of(self.corruption)}", {}
        values = {m: {k: torch.cat(v) for k, v in n.items()} for m, n in self.of.items()}
        for method, numbers in values.items():
            for name, each in numbers.items():
                there = each[~each.isnan()] if name.startswith("hole_") else each
                if len(there):
                    found |= with_error(f"{prefix}/{method}/{name}", there)
            chosen = self.settings.get(method, {})
            found |= {f"{prefix}/{method}/{name}": float(v) for name, v in chosen.items()}
        best = best_baseline(next(iter(restored(found).values()), {}))
        if "model" in values and best is not None:
            gain = values["model"]["psnr"] - values[best]["psnr"]
            found |= with_error(f"{prefix}/model/gain", gain)
        return found


def score(
    methods: Mapping[str, Restorer],
    images: Tensor,
    levels: int,
    corruption: Corruption,
    device: torch.device | str = "cpu",
    batch_size: int = 500,
    draws: int = 1,
    seed: int = 0,
    keep: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Return the numbers of each image for each method.

    A method that draws is judged by the mean of its draws, "draw" is its first one, and "best_of_K" the
    best of K for each number and image; the latter two are of "model" only.

    Args:
        methods: Restorers by name, with "model" for the one in question.
        images: Test images (N, C, H, W) in {0, ..., levels - 1}.
        levels: Number of values that a pixel can have.
        corruption: What they lose, image i the same whatever the batch size.
        device: Where they are restored.
        batch_size: Images at a time.
        draws: Draws of each image by a method that draws.
        seed: Seeds them.
        keep: Images to keep for a picture, of the first batch.
        progress: Is told how many images are done.
    """
    scores, operator = Scores(corruption), Operator(corruption)
    scores.settings = {k: m.settings for k, m in methods.items() if isinstance(m, Baseline)}
    first = 0
    for part in images.split(batch_size):
        x = part.to(device).float() / (levels - 1)
        seen, indices = on_seen(corruption, x, first), range(first, first + len(x))
        judge = lambda y: _numbers(x, seen, y, operator)  # noqa: E731, B023
        scores.keep("original", x, keep)
        scores.keep("what is left", seen.image, keep)
        for name, restore in methods.items():
            drawn = restore(seen, draws=draws, seed=seed, indices=indices)
            scores.keep(name_of(name), drawn.mean(0), keep)
            scores.add(name, judge(drawn.mean(0)))
            if name == "model" and len(drawn) > 1 and not bool((drawn == drawn[:1]).all()):
                scores.keep("one draw", drawn[0], keep)
                _add_draws(scores, [judge(y) for y in drawn])
                scores.add("model", {"diversity": drawn.std(0).flatten(1).mean(1)})
        if not has_colours(seen) and x.shape[1] == 3:
            scores.add("original", {"colourfulness": colourfulness(x)})
        first += len(x)
        progress(first)
    return scores


def _add_draws(scores: Scores, each: list[dict[str, Tensor]]) -> None:
    scores.add("draw", each[0])
    quality = [name for name in each[0] if name.endswith(("psnr", "ssim"))]
    best = {name: torch.stack([numbers[name] for numbers in each]).amax(0) for name in quality}
    scores.add(f"best_of_{len(each)}", best)


def _numbers(x: Tensor, seen: Seen, y: Tensor, operator: Operator) -> dict[str, Tensor]:
    """Return the numbers (B,) of restored images y (B, C, H, W) of x."""
    found = {"psnr": psnr(y, x)}
    similarity = ssim_map(y, x) if has_ssim(x.shape[1:]) else None
    if similarity is not None:
        found["ssim"] = similarity.flatten(1).mean(1)
    if (holes := holes_of(seen)).any():
        holes = replace(seen, hole=holes).hole_pixels
        found["hole_psnr"] = psnr(y, x, holes)
        if similarity is not None:
            found["hole_ssim"] = (similarity * holes).flatten(1).sum(1) / holes.flatten(1).sum(1)
    if is_smaller(seen) and seen.known.any():
        error = (operator.A(y) - seen.y).square() * seen.known
        mean = error.flatten(1).sum(1) / seen.known.flatten(1).sum(1)
        found["consistency_error"] = mean.sqrt()
    if not has_colours(seen) and x.shape[1] == 3:
        found["colourfulness"] = colourfulness(y)
    return found
