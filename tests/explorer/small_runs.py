"""Runs with small models for the tests of the explorer, trained for a few steps on the digits."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def train(folder, *args):
    """Return the directory of a run that `gdl train` makes in a folder."""
    command = [sys.executable, "-m", "gdl", "train", *args]
    command += [
        "trainer.max_epochs=2",
        "+trainer.limit_train_batches=8",
        "logger=csv",
        f"run_dir={folder}",
    ]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, cwd=folder.parent, env=env)
    return folder
