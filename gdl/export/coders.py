"""Encoder and decoder of a model as modules of their own, as graphs, and compared with the model."""

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gdl.capabilities import HasLatents, HasPosterior
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.families.flow import FlowModel
from gdl.families.labels import UNKNOWN
from gdl.families.variational import given

__all__ = ["BATCHES", "Coder", "coders", "largest_difference", "program_of", "quiet"]

BATCHES = (1, 3, 7)
"""Sizes of the batches on which what was written is compared with the model."""

TOLERANCE = 1e-3
"""Largest difference that is allowed, as a part of the largest number that the model gives."""


class _Encoder(nn.Module):
    def __init__(self, model: GenerativeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        known, y = _known(self.model, y)
        if isinstance(self.model, HasPosterior):
            return _where(known, self.model.posterior(x, *given(y)))
        assert isinstance(self.model, HasLatents)
        return _where(known, (self.model.encode(x, *given(y)),))


class _Decoder(nn.Module):
    def __init__(self, model: GenerativeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        assert isinstance(self.model, HasLatents)
        known, y = _known(self.model, y)
        return _where(known, (self.model.decode(z, *given(y)),))


def _known(model: GenerativeModel, y: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Return whether each label (B,) is one that the model has, and labels with 0 instead of others.

    A graph raises nothing, and takes an index of -1 for the last class. A flow does not look at y.
    """
    if y is None or isinstance(model, FlowModel):
        return None, y
    known = (y >= (UNKNOWN if model.label_dropout else 0)) & (y < model.num_classes)
    return known, torch.where(known, y, torch.zeros_like(y))


def _where(known: Tensor | None, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the outputs (B, ...), with NaN where a label (B,) is not known to the model."""
    if known is None:
        return outputs
    masks = [known.view(-1, *[1] * (out.dim() - 1)) for out in outputs]
    return tuple(
        torch.where(mask, out, torch.full_like(out, math.nan))
        for mask, out in zip(masks, outputs, strict=True)
    )


@dataclass(frozen=True)
class Coder:
    """An encoder or a decoder, with what goes in and comes out."""

    name: str
    """"encoder" or "decoder"."""
    module: nn.Module
    """Called with the inputs; returns a tuple of the outputs."""
    inputs: dict[str, Tensor]
    """Examples by name, as many of each as the sum of `BATCHES`."""
    outputs: tuple[str, ...]
    """Names of what comes out."""

    def signature(self) -> str:
        """Return names, types and shapes of what goes in and comes out, in words."""
        found = dict(zip(self.outputs, self.call(self.inputs), strict=True))
        texts = [[_described(*item) for item in part.items()] for part in (self.inputs, found)]
        return f"from {', '.join(texts[0])} to {', '.join(texts[1])}"

    def call(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return what the model itself computes."""
        with torch.no_grad():
            return self.module(*inputs.values())


def coders(model: GenerativeModel, asked: str) -> list[Coder]:
    """Return the encoder and the decoder of a model in eval mode on the CPU.

    encoder: x uint8 (B, C, H, W) of levels, or float32 (B, D) of continuous vectors -> mean (B, M)
    and, of a model with a posterior, log_std (B, M). decoder: z (B, M) -> image (B, C, H, W), real
    numbers in [0, levels - 1]. Those of a conditional model also take labels y (B,) int64; what a label
    gives that the model has not is NaN.

    Args:
        model: The model.
        asked: Beginning of the sentence for a model without them.

    Raises:
        GdlError: The model has no latents.
    """
    if not isinstance(model, HasLatents):
        raise GdlError(
            f"{asked} writes an encoder and a decoder, which {type(model).__name__} lacks: use "
            "format=safetensors, or an autoencoder, a VAE or a flow."
        )
    n, generator = sum(BATCHES), torch.Generator().manual_seed(0)
    z = torch.randn(n, *model.latent_shape, generator=generator).to(model.dtype)
    y = {"y": torch.arange(n) % model.num_classes} if model.num_classes else {}
    with torch.no_grad():  # tensors of inference mode cannot go into a graph
        x = model.decode(z, *y.values())
    if model.levels is not None:
        x = x.round().to(torch.uint8)
    found = ("mean", "log_std") if isinstance(model, HasPosterior) else ("mean",)
    return [
        Coder("encoder", _Encoder(model), {"x": x, **y}, found),
        Coder("decoder", _Decoder(model), {"z": z, **y}, ("image",)),
    ]


def program_of(coder: Coder) -> Any:
    """Return the graph of a coder for batches of any size, a `torch.export.ExportedProgram`.

    Raises:
        GdlError: PyTorch cannot make a graph of it.
    """
    batch = torch.export.Dim("batch", min=1)
    some = tuple(value[:2] for value in coder.inputs.values())
    sizes = tuple({0: batch} for _ in some)
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(coder.module, some, dynamic_shapes=sizes, strict=True)
    except Exception as e:  # of many kinds
        raise GdlError(
            f"PyTorch cannot make a graph of the {coder.name} of {_name(coder)}: use "
            "format=safetensors."
        ) from e
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # has paths of this machine
    return program


def largest_difference(coder: Coder, run: Callable[[dict[str, Tensor]], list[Tensor]]) -> float:
    """Return the largest difference between a model and what was written of it.

    Args:
        coder: The encoder or the decoder of the model.
        run: Returns what the file computes of inputs by name.

    Raises:
        GdlError: The two do not agree.
    """
    worst, start = 0.0, 0
    for size in BATCHES:
        inputs = {name: x[start : start + size] for name, x in coder.inputs.items()}
        start += size
        own = coder.call(inputs)
        for name, a, b in zip(coder.outputs, own, run(inputs), strict=True):
            difference = (a - b).abs().max().item() if a.shape == b.shape else float("nan")
            if not difference <= TOLERANCE * max(1.0, a.abs().max().item()):
                raise GdlError(
                    f"What was written of the {coder.name} of {_name(coder)} computes another "
                    f"{name} (difference {difference:.2g}), so it was not kept: use "
                    "format=safetensors."
                )
            worst = max(worst, difference)
    return worst


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep back what libraries print, log and warn of while they write a graph."""
    disabled = logging.root.manager.disable
    silence = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(silence),
        contextlib.redirect_stderr(silence),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)


def _described(name: str, value: Tensor) -> str:
    shape = ", ".join(["B", *map(str, value.shape[1:])]) + ("," if value.dim() == 1 else "")
    return f"{name} {str(value.dtype).removeprefix('torch.')} ({shape})"


def _name(coder: Coder) -> str:
    return type(coder.module.model).__name__
