r"""Prints, and records, what the trivial methods reach at restoring the test images of a data set.

    python benchmarks/restoration.py data=mnist corruption=gaussian_noise
    python benchmarks/restoration.py data=cifar10 corruption=[downsample,gaussian_noise] \
        model.corruption.gaussian_noise.sigma=0.1 [limit=200] [record=results/baselines_NAME.json]

A restorer of your own stands beside them with `gdl.restoration.benchmark`, see docs/restoration.md.
GDL_DATA_DIR says where the data are. The numbers depend on no clock, so the machine need not be quiet.
"""

import shlex
import sys
import time
from pathlib import Path

import hydra
from omegaconf import OmegaConf

from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.overrides import mounted
from gdl.corruptions import compose
from gdl.files import write_json
from gdl.restoration import benchmark
from gdl.runs.directory import git_commit
from gdl.runs.hardware import hardware
from gdl.serialization import build


def option(name: str) -> str | None:
    """Return the value of an argument NAME=VALUE of this script, and take it out."""
    found = [a for a in sys.argv[1:] if a.startswith(f"{name}=")]
    sys.argv[1:] = [a for a in sys.argv[1:] if a not in found]
    return found[-1].partition("=")[2] if found else None


def main() -> None:
    """Print the table and write the record.

    Raises:
        SystemExit: The code that is to be recorded is not committed.
    """
    file, limit = option("record"), option("limit")
    commit = git_commit()
    if file and (limit or commit is None or commit.endswith("+")):
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
    found = benchmark(None, corruption, data, limit=int(limit) if limit else None)
    minutes = round((time.perf_counter() - start) / 60, 2)
    print(found)
    if file:
        columns, *rows = found.rows()
        choice = next((a.partition("=")[2] for a in arguments if a.startswith("data=")), "")
        record = {
            "title": f"Trivial restorers: {corruption.name} on {choice}",
            "command": shlex.join(["python", "benchmarks/restoration.py", *sys.argv[1:]]),
            "commit": commit,
            "hardware": hardware(),
            "minutes": minutes,
            "columns": columns,
            "rows": rows,
        }
        write_json(Path(file), record, indent=1)


if __name__ == "__main__":
    main()
