"""A sentence about networks that could not be compiled, see `compile=true`."""

import os
from collections.abc import Iterable

from gdl.files import for_shell

__all__ = ["compiler_failed"]

CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""Where compiled networks are kept; torch sets this variable itself before it compiles."""

COMPILERS = ("torch._dynamo", "torch._inductor", "torch.fx")


def compiler_failed(chain: Iterable[BaseException]) -> str | None:
    """Return a sentence about an error of the compiler; None if there is none among these errors.

    A compilation that was killed may leave half a file, which torch takes for a whole one ever after.
    So may a full disk. Without a compiler for C++ there is no compilation on a CPU.

    Args:
        chain: An error and what caused it.
    """
    cache = os.environ.get(CACHE, "")
    for e in chain:
        own = type(e).__module__.startswith(COMPILERS)
        if not own and not (isinstance(e, ImportError) and cache and cache in str(e)):
            continue
        inner = getattr(e, "inner_exception", e)
        lines = f"{type(inner).__name__}: {inner}".splitlines()
        # what a compiler prints begins with a long command and warnings
        why = next((line for line in lines[1:] if "error:" in line), " ".join(lines))
        reason = " ".join(why.split())
        folder = for_shell(cache) if cache else "of torch's cache"
        return (
            f"The networks could not be compiled ({reason:.200}): set compile=false, which trains more "
            "slowly. If a compilation was interrupted or the disk was full before, remove the folder "
            f"{folder} instead; then everything is compiled anew, which takes minutes."
        )
    return None
