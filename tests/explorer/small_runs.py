"""Runs with small models for the tests of the explorer, trained for a few steps on the digits."""

from pathlib import Path

import forked

ROOT = Path(__file__).resolve().parents[2]


def train(folder, *args):
    """Return the directory of a run that `gdl train` makes in a folder."""
    short = ["trainer.max_epochs=2", "+trainer.limit_train_batches=8", "logger=csv"]
    done = forked.gdl("train", *args, *short, f"run_dir={folder}", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return folder
