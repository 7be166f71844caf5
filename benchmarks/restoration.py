r"""Prints, and records, what the trivial methods, and runs, reach at restoring test images.

    python benchmarks/restoration.py data=mnist corruption=gaussian_noise
    python benchmarks/restoration.py data=cifar10 corruption=[downsample,gaussian_noise] \
        model.corruption.gaussian_noise.sigma=0.1 [limit=200] [record=results/baselines_NAME.json]
    python benchmarks/restoration.py data=mnist corruption=missing_patch runs=RUN,RUN limit=100 draws=8

The runs, of any family of models, are judged by the mean of their draws. Densities take seconds for an
image, so the table may be of the first test images only; its title says of how many.

A restorer of your own stands beside them with `gdl.restoration.benchmark`, see docs/restoration.md.
GDL_DATA_DIR says where the data are. The numbers depend on no clock, so the machine need not be quiet.
"""

import shlex
import sys
import time
from pathlib import Path

import hydra
import torch
from omegaconf import OmegaConf

import gdl
from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.overrides import mounted
from gdl.comparison.markdown import markdown_table
from gdl.corruptions import Corruption, compose
from gdl.data import ImageData
from gdl.files import write_json
from gdl.restoration import benchmark
from gdl.restoration.baselines import baselines
from gdl.restoration.choice import restorer_for
from gdl.restoration.restorer import Restorer
from gdl.restoration.scoring import label_of, score
from gdl.restored_numbers import cells, name_of, restored
from gdl.runs.directory import git_commit
from gdl.runs.hardware import hardware
from gdl.serialization import build


def recorded(command: str) -> str:
    """Return a command without the file of the record, and with runs by the name of their folder."""
    parts = [p for p in shlex.split(command) if not p.startswith("record=")]
    runs = lambda p: f"runs={','.join(Path(r).name for r in p[5:].split(','))}"  # noqa: E731
    return shlex.join(runs(p) if p.startswith("runs=") else p for p in parts)


def option(name: str) -> str | None:
    """Return the value of an argument NAME=VALUE of this script, and take it out."""
    found = [a for a in sys.argv[1:] if a.startswith(f"{name}=")]
    sys.argv[1:] = [a for a in sys.argv[1:] if a not in found]
    return found[-1].partition("=")[2] if found else None


@torch.no_grad()
def of_runs(
    runs: list[str], corruption: Corruption, data: ImageData, limit: int | None, draws: int
) -> list[list[str]]:
    """Return the table of the means of the draws of runs, and of the trivial methods."""
    assert data.levels is not None
    top = data.levels - 1
    train, val = (data.images(s).float() / top for s in ("train", "val"))
    methods: dict[str, Restorer] = {}
    for spec in runs:
        model = gdl.load(spec, device="cpu")
        name = str(model.config["choices"]["model"])
        methods[name if name not in methods else f"{name} of {spec}"] = restorer_for(
            model, corruption
        )
    methods |= baselines(corruption, train, val)
    images = data.images("test")[:limit]
    metrics = score(
        methods, images, data.levels, corruption, batch_size=100, draws=draws
    ).metrics()
    ((_, numbers),) = restored(metrics).items()
    columns, rows = cells(numbers)
    named = [[name_of(m, numbers[m]), *row] for m, row in rows.items()]
    return [["method", *columns], *named]


def main() -> None:
    """Print the table and write the record.

    Raises:
        SystemExit: The code that is to be recorded is not committed.
    """
    given = shlex.join(["python", "benchmarks/restoration.py", *sys.argv[1:]])
    file, limit, runs, draws = (option(name) for name in ("record", "limit", "runs", "draws"))
    commit = git_commit()
    if file and ((limit and not runs) or commit is None or commit.endswith("+")):
        raise SystemExit("error: commit the code first, and leave out limit=: a record is of all.")
    register_resolvers()
    arguments = ["model=denoising_ae", *sys.argv[1:]]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", mounted(arguments))
    data = build(OmegaConf.to_container(cfg.data, resolve=True))
    data.prepare_data()
    parts = OmegaConf.to_container(cfg.model.corruption, resolve=True)
    assert isinstance(parts, dict)
    corruption = compose([build(part) for part in parts.values()])
    start = time.perf_counter()
    most = int(limit) if limit else None
    if runs:
        table = of_runs(runs.split(","), corruption, data, most, int(draws or 8))
        print(markdown_table(table))
    else:
        found = benchmark(None, corruption, data, limit=most)
        table = found.rows()
        print(found)
    minutes = round((time.perf_counter() - start) / 60, 2)
    if file:
        columns, *rows = table
        choice = next((a.partition("=")[2] for a in arguments if a.startswith("data=")), "")
        record = {
            "title": f"{'Restorers of all families' if runs else 'Trivial restorers'}: "
            f"{label_of(corruption)} on {choice}, {f'first {most}' if most else 'all'} test images",
            "command": recorded(given),
            "commit": commit,
            "seed": 0,
            "hardware": hardware(),
            "minutes": minutes,
            "columns": columns,
            "rows": rows,
        }
        write_json(Path(file), record, indent=1)


if __name__ == "__main__":
    main()
