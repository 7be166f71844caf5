"""How long compare.py takes for many runs.

    python benchmarks/compare.py [runs=1000] [rounds=3] [record=FILE]

Makes run directories as train.py leaves them, in a temporary folder: configurations composed from
conf/, 200 rows of metrics.csv and a real grid of 64 images each. Prints the seconds of the tables in
the terminal and of the page, start of Python included, and the page's size.
"""

import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hydra
import numpy as np
from omegaconf import OmegaConf
from PIL import Image
from records import Table, options
from timing import Spread

from gdl.commands.conf import CONF, register_resolvers

ROOT = Path(__file__).resolve().parent.parent
MODELS = {"vae": "bound", "nice": "dequant-1", "glow_tiny": "dequant-1", "fvsbn": "exact"}
DATA = ("digits", "mnist", "cifar10")
DEPTHS, SEEDS = 28, 3


def make_runs(folder: Path, number: int) -> None:
    """Write `number` run directories, of every model on every data set, with several seeds."""
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        texts = {
            (data, model): OmegaConf.to_yaml(hydra.compose("train", choices(data, model)))
            for data in DATA
            for model in MODELS
        }
    pairs, rng = list(texts), random.Random(0)
    for i in range(number):
        data, model = pairs[i % len(pairs)]
        seed, depth = i // len(pairs) % SEEDS, i // len(pairs) // SEEDS % DEPTHS
        run = folder / data / model / f"{i:05d}"
        for part in (".hydra", "images", "checkpoints"):
            (run / part).mkdir(parents=True)
        config = texts[data, model].replace("\nseed: 0\n", f"\nseed: {seed}\n")
        config = re.sub(r"\n  batch_size: \d+", f"\n  batch_size: {1 + depth}", config)
        (run / ".hydra" / "config.yaml").write_text(config)
        overrides = [f"data={data}", f"model={model}", f"seed={seed}"]
        (run / ".hydra" / "overrides.yaml").write_text("".join(f"- {o}\n" for o in overrides))
        (run / "run.json").write_text(json.dumps({"commands": ["python train.py"]}))
        last = 1 + rng.random() + 1 / (1 + depth)
        metrics = {"model": model, "data": data, "kind": MODELS[model], "seed": seed}
        metrics |= {"test/bpd": last, "test/bpd_se": 0.01, "test/nll": 64 * last * math.log(2)}
        metrics |= {"params": 10_000 * (1 + depth), "train_seconds": 60 * rng.random()}
        (run / "metrics.json").write_text(json.dumps(metrics, indent=2))
        (run / "metrics.csv").write_text(curve(last))
        for epoch in (1, 2):
            grid(seed).save(run / "images" / f"samples_epoch{epoch:04d}.png")


def choices(data: str, model: str) -> list[str]:
    """Return the overrides of a run."""
    return [f"data={data}", f"model={model}", "logger=csv"]


def curve(last: float) -> str:
    """Return a metrics.csv of 200 rows, every fifth of which is of the validation."""
    lines = ["step,train/loss,train/nll,train/bpd,lr,images_per_second,seconds,epoch,val/bpd"]
    for i in range(200):
        bpd = last + 3 * math.exp(-i / 20)
        train = f"{bpd * 44.36},{bpd * 44.36},{bpd},0.001,12345.678"
        row = f",,,,,{i * 0.3},{i // 5},{bpd}" if i % 5 == 4 else f"{train},{i * 0.3},{i // 5},"
        lines.append(f"{50 * i},{row}")
    return "\r\n".join(lines) + "\r\n"


def grid(seed: int) -> Image.Image:
    """Return 8 by 8 noisy pictures of 8 by 8 pixels, each enlarged to 32 by 32."""
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64), dtype=np.uint8)
    return Image.fromarray(np.kron(pixels, np.ones((4, 4), np.uint8)))


def seconds(*args: str) -> float:
    """Return the seconds that compare.py takes, with the start of Python."""
    start = time.perf_counter()
    command = [sys.executable, "compare.py", *args]
    env = os.environ | {"COLUMNS": "200"}
    subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    chosen = options()
    number, rounds = int(chosen.get("runs", 1000)), int(chosen.get("rounds", 3))
    table = Table("Speed: comparing runs, seconds", "runs", "what", "seconds", "size")
    with tempfile.TemporaryDirectory() as name:
        folder, page = Path(name) / "outputs", Path(name) / "report.html"
        make_runs(folder, number)
        report = ["report=html", f"report_path={page}"]
        shown = Spread.of(seconds(str(folder)) for _ in range(rounds))
        table.add(number, "tables in the terminal", shown, "-")
        made = Spread.of(seconds(str(folder), *report) for _ in range(rounds))
        table.add(number, "tables and page", made, f"{page.stat().st_size / 1e6:.2f} MB")
    table.save()


if __name__ == "__main__":
    main()
