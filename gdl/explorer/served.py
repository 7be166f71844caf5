"""What a server computes with a model for its page: the programs of a page, by the model itself."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook

from gdl.capabilities import HasLatents, HasPosterior, Invertible, Samples, refuse
from gdl.errors import GdlError
from gdl.explorer.graph import Graph
from gdl.explorer.layers import Inexpressible
from gdl.explorer.programs import programs
from gdl.families.base import GenerativeModel
from gdl.families.variational import VariationalModel

__all__ = ["LIMIT", "SAMPLES", "VECTORS", "Served", "Unwanted", "most_rows"]

LIMIT = 2000
"""Images in one request, at most."""

VECTORS = 10_000
"""Vectors of one or two dimensions in one request, at most: a density is one of many cells."""

SAMPLES = 16
"""Samples at a time, of a model without latents."""

CHUNK = 100
"""Images that the model computes at once; vectors all."""

ASKED_EVERY = 0.2
"""Seconds after which a computation asks again whether anybody waits for it."""

Program = Callable[..., dict[str, Tensor]]


class Unwanted(Exception):
    """Nobody waits for what is computed."""


def most_rows(model: GenerativeModel) -> int:
    """Return how many images or vectors a request may have, at most."""
    return LIMIT if len(model.shape) == 3 else VECTORS


class Served:
    """The programs of a model by name, run by the model itself on its device.

    encode, decode and distortion are those of `gdl.explorer.programs.programs`; a flow of images also
    has log_prob: x, y -> nats (B,), one draw of the bound of log P(x). What else the page could run
    itself, such as the layers of a small flow, is run from its graph. A model without latents has
    sample: seed (1,), temperature (1,), y (1,) -> image (SAMPLES, C, H, W).

    Args:
        model: A model with latents, or one that samples, in eval mode.

    Raises:
        Incapable: The model is neither.
    """

    def __init__(self, model: GenerativeModel) -> None:
        self.model = model
        self.programs: dict[str, tuple[tuple[str, ...], Program]]
        if isinstance(model, HasLatents):
            self.programs = {**_graphs(model), **_own(model)}
        elif isinstance(model, Samples):
            self.programs = _samples(model)
        else:
            from gdl import models

            refuse(model, HasLatents, "gdl explore asks for latents", models)

    def run(
        self,
        name: str,
        inputs: Mapping[str, Tensor],
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, Tensor]:
        """Return the outputs of a program by name, float32 on the CPU.

        Args:
            name: One of `programs`.
            inputs: Tensors (B, ...) by name, float32; labels y (B,), too.
            is_wanted: Asked now and then whether the outputs are still of use.

        Raises:
            GdlError: An input is missing, or has another shape than the model's.
            Unwanted: They are not.
        """
        names, program = self.programs[name]
        found = self._checked(name, names, inputs)
        rows = len(found[0])
        parts: list[dict[str, Tensor]] = []
        size = CHUNK if len(self.model.shape) == 3 else rows
        with torch.inference_mode(), _while(is_wanted):
            for i in range(0, rows, size):
                chunk = [v[i : i + size].to(self.model.device) for v in found]
                out = program(*chunk)
                parts.append({k: v.float().cpu() for k, v in out.items()})
        return {k: torch.cat([part[k] for part in parts]) for k in parts[0]}

    def points_in(self, seconds: float, x: Tensor) -> int:
        """Return how many of the images x (N, ...) can be encoded in a time, of 10 at least.

        Labels do not change that, so the first class stands for all.
        """
        few = {"x": x[:8].float()}
        if self.model.num_classes:
            few["y"] = torch.zeros(len(few["x"]))
        self.run("encode", few)  # the first call may compile or allocate
        began = time.perf_counter()
        self.run("encode", few)
        each = (time.perf_counter() - began) / len(few["x"])
        return min(len(x), max(10, int(seconds / each)))

    def _checked(
        self, program: str, names: tuple[str, ...], inputs: Mapping[str, Tensor]
    ) -> list[Tensor]:
        """Return the inputs of a program in order, in the types that the model takes."""
        missing = [name for name in names if name not in inputs]
        if missing:
            raise GdlError(f"{program} asks for {' and '.join(missing)}.")
        sizes = {len(inputs[name]) if inputs[name].ndim else 0 for name in names}
        most = most_rows(self.model)
        if len(sizes) > 1 or not 1 <= max(sizes) <= most:
            raise GdlError(f"{program} takes from 1 to {most} images, as many of each input.")
        return [self._checked_input(name, inputs[name]) for name in names]

    def _checked_input(self, name: str, value: Tensor) -> Tensor:
        model = self.model
        shapes = {"x": model.shape, "y": (), "z": getattr(model, "latent_shape", ())}
        if name in shapes and value.shape[1:] != torch.Size(shapes[name]):
            raise GdlError(
                f"{name} has shape {[*value.shape[1:]]}, the model's is {[*shapes[name]]}."
            )
        if name == "x" and model.levels is not None:
            return value.nan_to_num().round().clamp(0, model.levels - 1).to(torch.uint8)
        if name == "y":
            # the row behind the last class is that of an unknown label, where a model has one
            last = model.num_classes - (0 if model.label_dropout else 1)
            if not bool(((value >= 0) & (value <= last)).all()):
                raise GdlError(f"y must be labels from 0 to {last}.")
            return value.long()
        return value


@contextmanager
def _while(is_wanted: Callable[[], bool]) -> Iterator[None]:
    """Ask before each layer that is computed, but not too often, and raise `Unwanted`.

    A draw of an autoregressive model computes its layers for each pixel, so minutes end in between.
    """
    asked = -ASKED_EVERY

    def ask(*_: Any) -> None:
        nonlocal asked
        if (now := time.monotonic()) - asked > ASKED_EVERY:
            asked = now
            if not is_wanted():
                raise Unwanted

    ask()
    hook = register_module_forward_pre_hook(ask)  # of all modules; the server runs one at a time
    try:
        yield
    finally:
        hook.remove()


def _own(model: Any) -> dict[str, tuple[tuple[str, ...], Program]]:
    """Return the programs that methods of the model compute, each with the names of its inputs.

    A model may have methods without labels, so labels are given to conditional models only.
    """
    names = ("y",) if model.num_classes else ()

    def encode(x: Tensor, *y: Tensor) -> dict[str, Tensor]:
        if not isinstance(model, HasPosterior):
            return {"mean": model.encode(x, *y)}
        mean, log_std = model.posterior(x, *y)
        return {"mean": mean, "log_std": log_std}

    def decode(z: Tensor, *y: Tensor) -> dict[str, Tensor]:
        return {"image": model.decode(z, *y)}

    def distortion(x: Tensor, z: Tensor, *y: Tensor) -> dict[str, Tensor]:
        return {"distortion": -model.log_joint(x, z, *y)[0]}

    def log_prob(x: Tensor, *y: Tensor) -> dict[str, Tensor]:
        return {"log_prob": model.log_prob(x, *y)}

    found = {"encode": (("x", *names), encode), "decode": (("z", *names), decode)}
    if isinstance(model, VariationalModel):
        found["distortion"] = (("x", "z", *names), distortion)
    if model.levels is not None and isinstance(model, Invertible):
        found["log_prob"] = (("x", *names), log_prob)
    return found


def _samples(model: Any) -> dict[str, tuple[tuple[str, ...], Program]]:
    """Return the program of a model without latents; its inputs are one number each."""

    def sample(seed: Tensor, temperature: Tensor, *y: Tensor) -> dict[str, Tensor]:
        numbers = [seed.flatten(), temperature.flatten()]
        if any(len(v) != 1 or not 0 <= float(v) < 2**24 for v in numbers):
            raise GdlError("sample takes one seed, from 0 to 16777215, and one temperature.")
        own: dict[str, Any] = {}
        if y:
            own["label"] = None if int(y[0]) == model.num_classes else int(y[0])
        drawn = model.sample(SAMPLES, seed=int(seed), temperature=float(temperature), **own)
        return {"image": drawn}

    names = ("seed", "temperature", *(("y",) if model.num_classes else ()))
    return {"sample": (names, sample)}


def _graphs(model: GenerativeModel) -> dict[str, tuple[tuple[str, ...], Program]]:
    """Return the programs of the page itself; none of a model that it cannot run."""
    try:
        graphs, _ = programs(model)
    except Inexpressible:
        return {}
    return {name: (graph.inputs, partial(_run_graph, graph)) for name, graph in graphs.items()}


def _run_graph(graph: Graph, *values: Tensor) -> dict[str, Tensor]:
    try:
        return graph.run(dict(zip(graph.inputs, values, strict=True)))
    except (RuntimeError, IndexError) as e:  # these inputs have shapes of their own
        raise GdlError(
            f"{' and '.join(graph.inputs)} have a shape that the model does not take."
        ) from e
