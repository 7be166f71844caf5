"""How long a folder of photographs takes to open, cold and from the cache, beside Pillow's draft alone.

    python benchmarks/folders.py [images=2000] [rounds=5] [processes=2] [size=64]

Makes JPEG files of 256x256 pixels in a temporary folder. "Pillow" only decodes them, in as many fresh
processes, with `draft`, and throws the pixels away. "cold" is everything: listing, decoding, the file
of the cache and its digest; "cached" is the second start. The candidates take turns, so that noise of
the machine hits all alike; numbers are medians, and the ratio is the median of the rounds' ratios.
"""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from gdl.data import Folder, parallel_decoding

ALONE = """
import os, sys
from PIL import Image
folder, part, parts, size = sys.argv[1], *map(int, sys.argv[2:])
for name in sorted(os.listdir(folder))[part::parts]:
    with Image.open(f"{folder}/{name}") as image:
        image.draft("RGB", (size, size))
        image.load()
"""


def write_photographs(folder: Path, count: int) -> None:
    """Write JPEG files of 256x256 pixels: smooth colours with a little noise, about 24 kB each."""
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        x = np.asarray(coarse.resize((256, 256))) + rng.integers(-8, 9, (256, 256, 3))
        Image.fromarray(x.clip(0, 255).astype(np.uint8)).save(folder / f"{i:06}.jpg", quality=90)


def pillow_alone(folder: Path, processes: int, size: int) -> None:
    """Decode all files with `draft` in some processes."""
    args = [
        [sys.executable, "-c", ALONE, folder, part, processes, size] for part in range(processes)
    ]
    running = [subprocess.Popen([str(a) for a in arg]) for arg in args]
    for process in running:
        if process.wait():
            raise SystemExit("a process that decodes failed")


def main(images: int = 2000, rounds: int = 5, processes: int = 2, size: int = 64) -> None:
    """Print the seconds of each candidate, and the ratio of the goal."""
    parallel_decoding.num_processes = lambda: processes
    with tempfile.TemporaryDirectory() as temporary:
        photos, cache = Path(temporary, "photos"), Path(temporary, "cache")
        photos.mkdir()
        write_photographs(photos, images)

        def open_folder(data_dir: Path) -> None:
            data = Folder(str(photos), (3, size, size), levels=256, data_dir=str(data_dir))
            with contextlib.redirect_stdout(io.StringIO()):
                data.setup()
            data.digest()

        open_folder(cache)
        seconds: dict[str, list[float]] = {"Pillow": [], "cold": [], "cached": []}
        for i in range(rounds):
            calls: dict[str, Callable[[], None]] = {
                "Pillow": lambda: pillow_alone(photos, processes, size),
                "cold": lambda i=i: open_folder(Path(temporary, f"cold{i}")),
                "cached": lambda: open_folder(cache),
            }
            for name in [*calls][i % 3 :] + [*calls][: i % 3]:
                start = time.perf_counter()
                calls[name]()
                seconds[name].append(time.perf_counter() - start)
        ratio = statistics.median(
            cold / alone for cold, alone in zip(seconds["cold"], seconds["Pillow"], strict=True)
        )
    print(
        f"{images} JPEG files of 256x256 to {size}x{size}, {processes} processes, {rounds} rounds"
    )
    for name, times in seconds.items():
        print(
            f"{name:8} {statistics.median(times):8.3f} s   ({min(times):.3f} to {max(times):.3f})"
        )
    print(f"cold / Pillow's draft alone: {ratio:.2f}; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(**{key: int(value) for key, value in (arg.split("=") for arg in sys.argv[1:])})
