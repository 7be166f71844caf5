"""Weights for PyTorch alone, and encoder and decoder as graphs that run without gdl."""

import io
from collections.abc import Callable
from pathlib import Path

import torch

from gdl.capabilities import HasLatents
from gdl.export.coders import BATCHES, Coder, coders, largest_difference, program_of, quiet
from gdl.export.subject import Subject, Written
from gdl.exported import TORCH
from gdl.files import write_atomically

__all__ = ["write_torch"]


def write_torch(subject: Subject, folder: Path) -> Written:
    """Write model.pt and, of a model with latents, encoder.pt2 and decoder.pt2 into a folder.

    Raises:
        GdlError: PyTorch cannot make a graph of them, or a graph differs from the model.
    """
    model = subject.model
    content = {"gdl_config": subject.config, "state_dict": model.state_dict()}
    _write_all(folder / TORCH, lambda file: torch.save(content, file))
    written = Written(
        files={TORCH: "parameters and buffers, and the configuration of the model"},
        usage=f"{subject.load_call()}\n\n"
        "import torch                              # or without gdl\n"
        'weights = torch.load("FOLDER/model.pt", weights_only=True)["state_dict"]',
    )
    if not isinstance(model, HasLatents):
        written.notes.append(
            "The model has no latents, so there is no graph of an encoder or decoder."
        )
        return written
    for coder in coders(model, "format=torch"):
        difference = _write(coder, path := folder / f"{coder.name}.pt2")
        written.files[path.name] = f"a graph {coder.signature()}"
        written.usage += f'\n{coder.name} = torch.export.load("FOLDER/{path.name}").module()'
        written.notes.append(
            f"The {coder.name} was compared with the model on batches of "
            f"{', '.join(map(str, BATCHES))}: the largest difference is {difference:.1e}."
        )
    return written


def _write_all(path: Path, save: Callable[[io.BytesIO], object]) -> None:
    """Write what `save` writes into a buffer: on a full disk PyTorch itself raises no OSError."""
    buffer = io.BytesIO()
    save(buffer)
    write_atomically(path, buffer.getvalue())


def _write(coder: Coder, path: Path) -> float:
    """Write a graph; return the largest difference of what is read from the file."""
    program = program_of(coder)
    with quiet():
        _write_all(path, lambda file: torch.export.save(program, file))
        module = torch.export.load(path).module()
    return largest_difference(coder, lambda inputs: [*module(*inputs.values())])
