"""Decodes image files into a file of arrays, in several processes.

The processes run this file as a program of their own and import Pillow only: they start within a
tenth of a second, whereas a copy of this process would hold torch, its threads and its locks.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gdl.data.decoding import UNREADABLE, decode_image, planes, reason
from gdl.errors import GdlError

__all__ = ["Job", "Outcome", "decode_all", "decode_one", "num_processes"]

FEW = 64
"""So many files are decoded in this process, because starting others would take longer."""

EVERY = 50
"""A process says after so many files, or after 0.2 seconds, how far it is."""


@dataclass(frozen=True)
class Job:
    """What to decode, and where to.

    Args:
        target: A file that holds an array (N, C, H, W) uint8.
        offset: Where in the file the array starts, in bytes.
        shape: (C, H, W).
        resize: Whether images are scaled and cropped to `shape`.
        white: See `decode_image`.
        sources: Paths of the images.
        rows: Which image of the array each of them becomes.
    """

    target: str
    offset: int
    shape: tuple[int, int, int]
    resize: bool
    white: int | None
    sources: Sequence[str]
    rows: Sequence[int]


Outcome = tuple[int, str, Any]
"""An index into the sources, and what to know: ("broken", reason), ("sized", [H, W]) of an image that
does not have the shape, or ("deep", largest value) of one with 16 bits."""


def num_processes() -> int:
    """Return how many processes decode: one per core that this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def decode_all(job: Job, progress: Callable[[int], None] = lambda _: None) -> list[Outcome]:
    """Decode all files of a job; a file that is not read leaves its row as it was.

    Args:
        job: The job.
        progress: Called with the number of further files that are done.

    Raises:
        GdlError: A process was ended from outside, or by a decoder that crashed.
    """
    count = min(num_processes(), len(job.sources) // FEW)
    if count < 2 or not sys.executable:
        return _gather(_decode(job), progress)
    parts = [
        replace(job, sources=job.sources[i::count], rows=job.rows[i::count]) for i in range(count)
    ]
    # the processes are ended before the threads that listen to them are waited for
    with ThreadPoolExecutor(count) as pool, _processes(count) as processes:
        results = list(pool.map(lambda p, part: _follow(p, part, progress), processes, parts))
    return [
        (i * count + k, what, value) for k, found in enumerate(results) for i, what, value in found
    ]


def _follow(
    process: "subprocess.Popen[bytes]", job: Job, progress: Callable[[int], None]
) -> list[Outcome]:
    """Give a process its job and collect what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    outcomes: list[Outcome] = []
    done = 0
    try:
        process.stdin.write(json.dumps(asdict(job), allow_nan=False).encode())
        process.stdin.close()
        for line in process.stdout:
            said = json.loads(line)
            if "error" in said:
                raise OSError(said["errno"], said["error"], job.target)
            outcomes += [(i, what, value) for i, what, value in said["outcomes"]]
            progress(said["done"] - done)
            done = said["done"]
    except BrokenPipeError:
        pass  # it ended before it read the job
    if process.wait() or done < len(job.sources):
        last = job.sources[min(done + EVERY, len(job.sources)) - 1]
        raise GdlError(
            f"A process that decodes images ended with code {process.returncode}, at one of the files "
            f"from {job.sources[min(done, len(job.sources) - 1)]} to {last}: take that file away, or "
            "see that there is enough memory."
        )
    return outcomes


@contextlib.contextmanager
def _processes(count: int) -> Iterator["list[subprocess.Popen[bytes]]"]:
    """Run this file as a program so many times, and end what is left of them."""
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            process = subprocess.Popen(
                [sys.executable, "-P", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for this process, which ends the others
            )
            processes.append(process)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()  # pyright: ignore[reportOptionalMemberAccess]


def _gather(found: Iterator[Outcome | None], progress: Callable[[int], None]) -> list[Outcome]:
    outcomes = []
    for outcome in found:
        outcomes += [] if outcome is None else [outcome]
        progress(1)
    return outcomes


def _decode(job: Job) -> Iterator[Outcome | None]:
    """Decode one file after the other; yield what there is to know of each."""
    with warnings.catch_warnings(), open(job.target, "r+b", buffering=0) as target:
        warnings.simplefilter("ignore")  # of broken metadata, once per file
        for i, (source, row) in enumerate(zip(job.sources, job.rows, strict=True)):
            pixels, outcome = decode_one(source, job.shape, job.resize, job.white)
            if pixels is not None:
                target.seek(job.offset + row * len(pixels))
                target.write(pixels)
            yield None if outcome is None else (i, *outcome)


def decode_one(
    source: str | io.BytesIO, shape: Sequence[int], resize: bool, white: int | None
) -> tuple[bytes | None, tuple[str, Any] | None]:
    """Return the bytes of an array (C, H, W), None where there is none, and what to know."""
    channels, height, width = shape
    try:
        image, largest = decode_image(source, channels, (width, height) if resize else None, white)
        if image.size != (width, height):
            return None, ("sized", [image.height, image.width])
        return planes(image), None if largest is None else ("deep", largest)
    except UNREADABLE as e:
        return None, ("broken", reason(e))


def main() -> None:
    """Do the job that is written to standard input, and say how far it is on standard output."""
    job = Job(**json.loads(sys.stdin.buffer.read()))
    outcomes: list[Outcome] = []
    done, said = 0, time.monotonic()
    try:
        for outcome in _decode(job):
            outcomes += [] if outcome is None else [outcome]
            done += 1
            late = time.monotonic() - said > 0.2
            if late or done % EVERY == 0 or done == len(job.sources):
                said = time.monotonic()
                print(
                    json.dumps({"done": done, "outcomes": outcomes}, allow_nan=False), flush=True
                )
                outcomes = []
    except BrokenPipeError:
        os._exit(1)  # the process that asked has ended
    except OSError as e:
        print(json.dumps({"error": e.strerror, "errno": e.errno}, allow_nan=False), flush=True)


if __name__ == "__main__":
    main()
