"""The models that are checked: the given one, and others of its class on tiny images."""

import contextlib
import copy
import functools
import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gdl.capabilities import InitializesFromData
from gdl.families.base import GenerativeModel
from gdl.noise import seed_noise

__all__ = ["Tiny", "all_images", "draws", "nll_of", "perturb", "random_images", "rebuilt", "tiny"]

WIDTH, DEPTH = 16, {"depth": 2, "blocks": 2}
"""Units of a layer, and layers by argument, in the models of tiny images."""

LARGE = 1_000_000
"""Parameters from which on a check makes fewer draws."""

SHAPES: dict[str, list[tuple[tuple[int, ...], int]]] = {
    "grey": [((1, 2, 2), 4), ((1, 1, 2), 17), ((1, 1, 2), 4), ((1, 2, 2), 3)],
    "binary": [((1, 2, 3), 2), ((1, 2, 4), 2), ((1, 2, 2), 2), ((1, 3, 3), 2)],
    "colour": [((3, 1, 2), 2), ((3, 1, 1), 4), ((3, 2, 2), 2)],
}
"""Images so small that all of them can be scored, by kind; the first that a model takes is used."""


@dataclass
class Tiny:
    """A model of tiny images, in eval mode, and all images of its shape."""

    model: GenerativeModel
    x: Tensor
    name: str
    large: bool

    @property
    def tolerance(self) -> float:
        """Rounding errors of a sum over all images."""
        return 1e-7 if self.model.dtype == torch.float64 else 1e-3


def all_images(shape: Sequence[int], levels: int) -> Tensor:
    """Return the levels^D images (levels^D, *shape) uint8; image k has the digits of k."""
    one = torch.arange(levels, dtype=torch.uint8)
    return torch.cartesian_prod(*[one] * math.prod(shape)).view(-1, *shape)


def random_images(shape: Sequence[int], levels: int | None, n: int, seed: int = 0) -> Tensor:
    """Return images (n, *shape) uint8, darker pixels first, or normal vectors of continuous data."""
    g = torch.Generator().manual_seed(seed)
    if levels is None:
        return torch.randn(n, *shape, generator=g)
    bright = torch.linspace(0.2, 1, math.prod(shape)).view(1, *shape)
    return (torch.rand(n, *shape, generator=g) * bright * levels).to(torch.uint8)


def rebuilt(
    model: GenerativeModel, small: bool = False, width: int = WIDTH, **changes: Any
) -> GenerativeModel:
    """Return another model of the same class and arguments, but for the changes.

    Args:
        model: A model.
        small: Whether layers may be narrower and fewer, if the class takes that: theorems hold for all.
        width: Units of a layer, if it is small.
        **changes: Arguments of the constructor.

    Raises:
        TypeError: The constructor has no such argument.
    """
    parameters = inspect.signature(type(model)).parameters
    arguments = dict(model._arguments)
    if "shape" in changes and arguments.get("ends") is not None:
        arguments["ends"] = None  # pairs are of one row; of whole images the same theorems hold
    for name, parameter in parameters.items():
        if parameter.kind == parameter.VAR_KEYWORD:
            arguments |= arguments.pop(name, {})
        elif parameter.kind == parameter.VAR_POSITIONAL and arguments.pop(name, ()):
            raise TypeError(f"its constructor takes *{name}")
    if not any(p.kind == p.VAR_KEYWORD for p in parameters.values()):
        for name in set(changes) - set(parameters):
            raise TypeError(f"its constructor has no argument {name}")
    seed_noise(torch.device("cpu"), "audit", "weights")
    if small:
        with contextlib.suppress(Exception):  # a size that does not fit the others
            narrow = {k: _narrow(v, DEPTH.get(k, width)) for k, v in arguments.items()}
            made = type(model)(**(narrow | changes))
            _try(made)
            return made
    return type(model)(**(copy.deepcopy(arguments) | changes))


def _try(model: GenerativeModel) -> None:
    x = random_images(model.shape, model.levels, 4)
    if isinstance(model, InitializesFromData):
        copied = copy.deepcopy(model)
        copied.initialize(x)
        copied.loss(x)
    else:
        model.loss(x)


def _narrow(value: Any, most: int) -> Any:
    """Return an argument with numbers of at most `most`, also in lists and in parts of the model."""
    if type(value) is int:
        return min(value, most)
    if isinstance(value, list | tuple):
        return type(value)(_narrow(v, most) for v in value)
    if isinstance(value, functools.partial):
        keywords = {k: _narrow(v, most) for k, v in value.keywords.items()}
        return functools.partial(value.func, *value.args, **keywords)
    return copy.deepcopy(value)


@torch.no_grad()
def perturb(model: nn.Module, gain: float = 1.0, seed: int = 0) -> None:
    """Add normal noise to all parameters, as much as makes outputs of order `gain`.

    Weights that start at zero hide what depends on them.
    """
    g = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        if p.is_floating_point():
            fan_in = p[0].numel() if p.dim() > 1 else 4
            p.add_(gain / math.sqrt(fan_in) * torch.randn(p.shape, generator=g).to(p))


def nll_of(model: GenerativeModel, x: Tensor, seed: int = 0) -> Tensor:
    """Return the nll (B,) in float64 that `loss` reports for images, with noise of that seed."""
    seed_noise(model.device, "audit", seed)
    return model.loss(x)["nll"].double()


@torch.no_grad()
def draws(model: GenerativeModel, x: Tensor, k: int) -> Tensor:
    """Return k values of the nll (k, N) with independent noise."""
    at_once = max(1, min(k, 2048 // len(x)))
    found = [
        nll_of(model, x.repeat(at_once, *[1] * (x.dim() - 1)), seed).view(at_once, -1)
        for seed in range(-(-k // at_once))
    ]
    return torch.cat(found)[:k]


def tiny(
    model: GenerativeModel, gain: float = 1.0, kinds: Sequence[str] = tuple(SHAPES)
) -> Iterator[Tiny | tuple[str, str]]:
    """Yield a perturbed model in float64 for each kind of tiny images.

    Of a kind that the class does not take, ("kind", why) is yielded. The noise on the parameters is
    as large as leaves several images likely.
    """
    for kind in kinds:
        if kind == "grey" and model.levels == 2:
            continue  # a model of binary images need not be one of others
        found: Tiny | tuple[str, str] = (kind, "no image is small enough")
        for shape, levels in SHAPES[kind]:
            x = all_images(shape, levels)
            try:
                made = _spread_out(model, x, levels, gain)
                large = sum(p.numel() for p in made.parameters()) > LARGE
                found = Tiny(made, x, _name(shape, levels), large)
                break
            except Exception as e:  # whatever a constructor or a network says about a size
                if isinstance(found, tuple):
                    found = (
                        kind,
                        f"it takes no images so small: {' '.join(str(e).split())[:150]}",
                    )
        yield found


def _name(shape: Sequence[int], levels: int) -> str:
    return f"{'x'.join(map(str, shape))} of {levels} levels"


@torch.no_grad()
def _spread_out(model: GenerativeModel, x: Tensor, levels: int, gain: float) -> GenerativeModel:
    """Return a model whose weights are random, and which finds several of the images x likely."""
    fresh = rebuilt(model, small=True, shape=tuple(x.shape[1:]), levels=levels)
    if isinstance(fresh, InitializesFromData):
        fresh.initialize(random_images(x.shape[1:], levels, 64))
    fresh = _double(fresh, x).eval()
    for step in range(8):
        other = copy.deepcopy(fresh)
        perturb(other, gain / 2**step)
        p = (-nll_of(other, x)).softmax(0)
        likely = float((-(p * p.clamp(min=1e-30).log()).sum()).exp())
        noise = float(draws(other, x, 16).std(0).mean())
        if bool(p.isfinite().all()) and likely >= len(x) ** 0.4 and noise < 0.7:
            return other
    return fresh


def _double(model: GenerativeModel, x: Tensor) -> GenerativeModel:
    """Return the model in float64, if it can be computed there, else in float32."""
    try:
        wide = copy.deepcopy(model).eval().double()
        nll_of(wide, x[:2])
        return wide
    except RuntimeError:
        nll_of(model.eval(), x[:2])
        return model
