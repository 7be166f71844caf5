"""What a command spends before it does anything, and on whose modules.

    python benchmarks/imports.py [rounds=5] [trees=.,../older-checkout] [record=FILE]

Each command runs in a fresh process, on a VAE of the digits that was trained for one step. Wall-clock
seconds are medians, with quartiles, over the rounds, in which checkouts and commands take turns; the
ratio to the last checkout is that of the same rounds. The shares are sums of the times that
`python -X importtime` gives for the modules of each library, from one more process.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from records import Table, options
from timing import Spread

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = {
    "torch": ("torch", "torchgen", "triton", "functorch"),
    "torchvision": ("torchvision",),
    "lightning": ("lightning", "lightning_utilities", "torchmetrics"),
    "hydra": ("hydra", "omegaconf", "antlr4", "yaml"),
    "scipy, matplotlib, sklearn": ("scipy", "matplotlib", "sklearn", "mpl_toolkits", "joblib"),
    "gdl": ("gdl",),
}
COMMANDS = {
    "gdl --help": ["-m", "gdl", "--help"],
    "compare.py --help": ["compare.py", "--help"],
    "train.py --help": ["train.py", "--help"],
    "sample.py": ["sample.py", "run={run}", "out={out}"],
    "evaluate.py": ["evaluate.py", "run={run}", "measure=bits", "limit=10"],
    "train.py trainer=debug": ["train.py", "trainer=debug", "logger=none", "hydra.run.dir={out}"],
    "import gdl": ["-c", "import gdl"],
    "gdl.load": ["-c", "import gdl; gdl.load(r'{run}', device='cpu')"],
}


def run(tree: Path, args: list[str], *flags: str) -> tuple[float, str | None]:
    """Return the seconds of a command in a checkout, and its standard error, None if it failed."""
    env = {**os.environ, "PYTHONPATH": str(tree), "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *flags, *args],
        cwd=tree,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    return time.perf_counter() - start, done.stderr if done.returncode == 0 else None


def shares(report: str) -> dict[str, float]:
    """Return the seconds of importing each library, of a report of -X importtime."""
    owner = {root: name for name, roots in LIBRARIES.items() for root in roots}
    found = dict.fromkeys([*LIBRARIES, "others"], 0.0)
    for micro, module in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", report):
        found[owner.get(module.partition(".")[0], "others")] += int(micro) / 1e6
    return found


def main() -> None:
    """Print a table of seconds for each checkout."""
    chosen = options()
    trees = [Path(t).resolve() for t in chosen.get("trees", str(ROOT)).split(",")]
    rounds = int(chosen.get("rounds", 5))
    table = Table(
        "Speed: starting a command, seconds, and what is imported",
        *("command", "checkout", "seconds", "of the last checkout's", "importing"),
        *LIBRARIES,
        "others",
    )
    with tempfile.TemporaryDirectory() as folder:
        jobs = {}
        for i, tree in enumerate(trees):
            trained, out = f"{folder}/run{i}", f"{folder}/out{i}"
            run(tree, ["train.py", "trainer=debug", "logger=none", f"hydra.run.dir={trained}"])
            for name, args in COMMANDS.items():
                filled = [a.replace("{run}", trained).replace("{out}", out) for a in args]
                if run(tree, filled)[1] is not None:  # an older checkout may lack a command
                    jobs[tree, name] = filled
        seconds: dict[tuple[Path, str], list[float]] = {job: [] for job in jobs}
        for _ in range(rounds):
            for job, args in jobs.items():
                seconds[job].append(run(job[0], args)[0])
        for (tree, name), args in jobs.items():
            spent = shares(run(tree, args, "-X", "importtime")[1] or "")
            took, last = Spread.of(seconds[tree, name]), seconds.get((trees[-1], name))
            ratio = "-" if tree == trees[-1] or last is None else took.over(Spread.of(last))
            table.add(name, tree.name, took, ratio, sum(spent.values()), *spent.values())
    table.save()


if __name__ == "__main__":
    main()
