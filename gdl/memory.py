"""How much memory there is, so that a model that does not fit ends with a sentence, not with a kill."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gdl.errors import GdlError

__all__ = ["available_memory", "enough_memory", "peak_memory"]

CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Files with the limit and the use of a container's memory, in bytes."""


def available_memory() -> float:
    """Return the bytes that this process can still have; infinity where the system does not say."""
    there = _bytes("/proc/meminfo", "MemAvailable:")
    found = [
        float("inf") if there is None else there + (_bytes("/proc/meminfo", "SwapFree:") or 0)
    ]
    for limit, used in CGROUPS:
        try:
            found.append(float(Path(limit).read_text()) - float(Path(used).read_text()))
        except (OSError, ValueError):  # no container, or one without a limit
            continue
    return min(found)


def peak_memory() -> float:
    """Return the most bytes that this process has held, on its GPU if it uses one."""
    import torch

    if torch.cuda.is_initialized():
        return float(torch.cuda.max_memory_allocated())
    if sys.platform == "win32":
        return float("nan")
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _bytes(file: str, name: str) -> float | None:
    """Return a value of a file of /proc that counts kilobytes; None outside of Linux."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    return next((1024 * float(line.split()[1]) for line in lines if line.startswith(name)), None)


@contextmanager
def enough_memory(copies: int) -> Iterator[None]:
    """Stop the construction of a model that needs more memory than there is.

    The system would grant the memory, and kill some process when it is used.

    Args:
        copies: How often parameters are held: 4 in training with Adam (weights, gradients and two
            moments).

    Raises:
        GdlError: The parameters need more. Where it is another tensor, torch raises a RuntimeError.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    there, needed = available_memory(), 0

    def count(module: Any, name: str, parameter: Any) -> None:
        nonlocal needed
        if parameter is not None and parameter.device.type == "cpu":
            needed += copies * parameter.nbytes
        if needed > there:
            raise GdlError(
                f"The model needs more than {needed / 1e9:.1f} GB of memory, of which there are "
                f"{there / 1e9:.1f} GB: make it smaller."
            )

    handle = register_module_parameter_registration_hook(count)
    with _limit(there):
        try:
            yield
        finally:
            handle.remove()


@contextmanager
def _limit(more: float) -> Iterator[None]:
    """Let allocations fail that are together larger than `more` bytes; on Linux."""
    used = _bytes("/proc/self/status", "VmData:")
    if used is None or more == float("inf"):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = int(used + more)
    if soft != resource.RLIM_INFINITY:
        wanted = min(wanted, soft)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
