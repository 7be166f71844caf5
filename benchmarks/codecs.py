"""Records what general lossless coders make of the test images of a data set.

    python benchmarks/codecs.py data=mnist [data.OPTION=VALUE ...] [record=results/codecs_mnist.json]

compare.py and RESULTS.md show these numbers beside the models on the same data. GDL_DATA_DIR says where
the data are. The numbers depend on no clock, so the machine need not be quiet.
"""

import shlex
import sys
import time
from pathlib import Path

import hydra
from omegaconf import OmegaConf

from gdl.commands.conf import CONF, register_resolvers
from gdl.evaluation import codecs
from gdl.files import write_json
from gdl.runs.directory import git_commit
from gdl.runs.hardware import hardware
from gdl.serialization import build


def main() -> None:
    """Print the numbers and write the record.

    Raises:
        SystemExit: The code that is to be recorded is not committed.
    """
    file = [a.partition("=")[2] for a in sys.argv[1:] if a.startswith("record=")]
    arguments = [a for a in sys.argv[1:] if not a.startswith("record=")]
    commit = git_commit()
    if file and (commit is None or commit.endswith("+")):
        raise SystemExit("error: commit the code first: a record names the commit it belongs to.")
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", arguments)
    data = build(OmegaConf.to_container(cfg.data, resolve=True))
    data.prepare_data()
    start = time.perf_counter()
    found = codecs(None, data)
    minutes = round((time.perf_counter() - start) / 60, 2)
    for name, value in found.items():
        print(f"{name} {value:.4f}")
    choices = next(a.partition("=")[2] for a in arguments if a.startswith("data="))
    facts = {f"data/{k}": v for k, v in (data.facts() | data.identity()).items()}
    record = {
        "command": shlex.join(["python", "benchmarks/codecs.py", *arguments]),
        "commit": commit,
        "seed": 0,
        "hardware": hardware(),
        "minutes": minutes,
        "metrics": {"data": choices, **facts, **found},
    }
    if file:
        write_json(Path(file[0]), record, indent=1)


if __name__ == "__main__":
    main()
