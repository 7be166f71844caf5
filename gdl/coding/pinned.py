"""One way of computing, so that an encoder and a decoder get the same bits of every number.

A sum in floating point depends on the order of its terms, and the order on the number of threads, the
size of the batch and the processor. So coding runs on the CPU, in one thread, in the precision of the
weights, in batches whose size the file names. What differs beyond that, between processors and
versions of torch, is found out by the checksum of the pixels.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from gdl.errors import GdlError

__all__ = ["arithmetic", "pinned"]


@contextmanager
def pinned(model: nn.Module) -> Iterator[None]:
    """Compute with a model as every other process does that has the same torch and processor.

    Raises:
        GdlError: The model is not on the CPU, or is in training mode.
    """
    if any(t.device.type != "cpu" for t in [*model.parameters(), *model.buffers()]):
        raise GdlError("Coding runs on the CPU: move the model there with model.cpu().")
    if model.training:
        raise GdlError("Coding needs the model in eval mode: call model.eval().")
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    default = torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.set_default_dtype(default)


def arithmetic() -> str:
    """Return what the bits of numbers depend on beyond `pinned`, e.g. "torch 2.11.0, AVX512"."""
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
