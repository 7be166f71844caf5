"""How much memory there is, so that a model that does not fit ends with a sentence, not with a kill."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gdl.errors import GdlError

__all__ = ["available_memory", "enough_memory"]

CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Files with the limit and the use of a container's memory, in bytes."""


def available_memory() -> float:
    """Return the bytes that this process can still have; infinity where the system does not say."""
    found = [float("inf")]
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024 * float(line.split()[1]))
    except OSError:
        pass
    for limit, used in CGROUPS:
        try:
            found.append(float(Path(limit).read_text()) - float(Path(used).read_text()))
        except (OSError, ValueError):  # no container, or one without a limit
            continue
    return min(found)


@contextmanager
def enough_memory(copies: int) -> Iterator[None]:
    """Stop the construction of a model whose parameters need more memory than there is.

    Args:
        copies: How often they are held: 4 in training with Adam (weights, gradients and two moments).

    Raises:
        GdlError: They need more.
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
    try:
        yield
    finally:
        handle.remove()
