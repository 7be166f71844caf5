"""How long a folder of photographs takes to open, cold and from the cache, beside Pillow's draft alone.

    python benchmarks/folders.py [images=5000] [rounds=5] [processes=2] [size=64] [record=FILE]

Makes JPEG files of 256x256 pixels in a temporary folder. "Pillow" only decodes them, in as many fresh
processes, with `draft`, and throws the pixels away. "cold" is everything: listing, decoding, the file
of the cache and its digest; "cached" is the second start. The candidates take turns.
"""

import contextlib
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from records import Table, options
from timing import Spread, milliseconds

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


def main() -> None:
    """Print the table."""
    chosen = options()
    images, rounds = int(chosen.get("images", 5000)), int(chosen.get("rounds", 5))
    processes, size = int(chosen.get("processes", 2)), int(chosen.get("size", 64))
    parallel_decoding.num_processes = lambda: processes
    title = f"Speed: {images} JPEG files of 256x256 to {size}x{size}, {processes} processes"
    table = Table(title, "what", "seconds", "of Pillow's draft alone")
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
        cold = (Path(temporary, f"cold{i}") for i in range(rounds))
        timed = {
            "Pillow's draft alone": lambda: pillow_alone(photos, processes, size),
            "cold": lambda: open_folder(next(cold)),
            "from the cache": lambda: open_folder(cache),
        }
        seconds: dict[str, list[float]] = {name: [] for name in timed}
        for i in range(rounds):
            for name in [*timed][i % 3 :] + [*timed][: i % 3]:
                seconds[name].append(milliseconds(timed[name]) / 1e3)
    spreads = {name: Spread.of(times) for name, times in seconds.items()}
    for name, spread in spreads.items():
        table.add(name, spread, spread.over(spreads["Pillow's draft alone"]))
    table.save()


if __name__ == "__main__":
    main()
