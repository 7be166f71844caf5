"""Weights as safetensors: bytes with a table in front, which many programs read and none runs."""

from pathlib import Path

from gdl.errors import GdlError
from gdl.export.subject import Subject, Written
from gdl.exported import NO_LIBRARY, WEIGHTS, digest_of
from gdl.files import write_atomically

__all__ = ["write_safetensors"]


def write_safetensors(subject: Subject, folder: Path) -> Written:
    """Write all parameters and buffers into a folder.

    Raises:
        GdlError: The library safetensors is not installed.
    """
    try:
        from safetensors.torch import save
    except ImportError as e:
        raise GdlError(f"format=safetensors needs the library safetensors: {NO_LIBRARY}.") from e
    # the format has no tensors that share memory: one with two names is written twice
    weights = {
        name: tensor.detach().clone().contiguous()
        for name, tensor in subject.model.state_dict().items()
    }
    path = folder / WEIGHTS
    write_atomically(path, save(weights, {"format": "pt"}))
    return Written(
        files={WEIGHTS: "parameters and buffers, by their names in the model"},
        usage=subject.load_call(),
        facts={"weights": {"file": WEIGHTS, "sha256": digest_of(path)}},
    )
