"""What it costs to start a job of a sweep, against a run of its own.

    python benchmarks/sweep.py [rounds=3] [launchers=basic,joblib,submitit_local,ray] [record=FILE]

Each job trains one step of an FVSBN on the digits. The seconds of a job are those by which a sweep of
four jobs, one at a time, takes longer than one of a single job, divided by three. Rounds take turns;
printed are medians and quartiles. An engine whose jobs are processes should cost at most 1.2 times a
run of its own.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from records import Table, options
from timing import Spread

ROOT = Path(__file__).resolve().parent.parent
JOB = ["model=fvsbn", "data=digits", "trainer=debug", "logger=csv"]
ONE_AT_A_TIME = {
    "joblib": ["hydra.launcher.n_jobs=1"],
    "submitit_local": ["hydra.sweeper.max_batch_size=1"],
    "ray": ["+hydra.launcher.ray.init.num_cpus=1"],
}


def seconds(*args: str) -> float:
    """Return the seconds of a command."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    command = [sys.executable, "train.py", *args, *JOB]  # Hydra wants -m first
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    return time.perf_counter() - start


def sweep(launcher: str, seeds: str) -> float:
    """Return the seconds of a sweep in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        options = [f"hydra/launcher={launcher}", *ONE_AT_A_TIME.get(launcher, [])]
        return seconds("-m", f"seed={seeds}", *options, f"hydra.sweep.dir={folder}")


def main() -> None:
    """Print the medians."""
    chosen = options()
    launchers = chosen.get("launchers", "basic,joblib,submitit_local,ray").split(",")
    table = Table("Speed: the jobs of a sweep, seconds", "what", "seconds", "of a run's own")
    single, jobs = [], {name: [] for name in launchers}
    for _ in range(int(chosen.get("rounds", 3))):
        with tempfile.TemporaryDirectory() as folder:
            single.append(seconds(f"hydra.run.dir={folder}"))
        for name in launchers:
            jobs[name].append((sweep(name, "0,1,2,3") - sweep(name, "0")) / 3)
    alone = Spread.of(single)
    table.add("a run of its own", alone, "-")
    for name, times in jobs.items():
        table.add(f"a job with {name}", Spread.of(times), Spread.of(times).over(alone))
    table.save()


if __name__ == "__main__":
    main()
