"""The process of a command: what a start and an end cost beside the work."""

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["enable_garbage_collection", "run_as_process", "without_collection"]


def run_as_process(main: Callable[[], None]) -> None:
    """Run the main function of a command as all that this process does.

    Garbage is not collected until `enable_garbage_collection`: a quarter of the time of importing
    torch and lightning goes into looking for garbage among what they define. And when all exit
    handlers have run, the process ends without freeing these objects one by one, which takes
    another second.

    Raises:
        SystemExit: Whoever read the output has gone, as in `gdl compare | head`.
    """
    gc.disable()
    code: list[int | None] = [0]
    if (
        sys.gettrace() is None
    ):  # a debugger or a measure of coverage has something to do at the end
        atexit.register(_end, code)  # the first to be registered is the last to be called
    try:
        main()
    except SystemExit as e:
        code[0] = e.code if isinstance(e.code, int) else int(e.code is not None)
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still to be flushed
        code[0] = 1
        raise SystemExit(1) from None
    except Exception:
        code[0] = 1
        raise
    except BaseException:
        code[0] = None  # Python ends as the signal does
        raise


def enable_garbage_collection() -> None:
    """Collect garbage from now on, but never look at what has been imported before the first call."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


@contextmanager
def without_collection() -> Iterator[None]:
    """Import libraries in somebody else's process: no garbage is collected meanwhile."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _end(code: list[int | None]) -> None:
    """End the process, unless its output cannot be written: Python says so and ends with 120."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    if code[0] is not None:
        os._exit(code[0])
