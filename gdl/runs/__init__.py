"""Runs on disk: the layout of outputs/, checkpoints, the names of metrics."""

from gdl.runs.directory import (
    Run,
    git_commit,
    job_dirs,
    study_db,
    sweep_dir,
)
from gdl.runs.finding import find_run, newest_runs

__all__ = [
    "Run",
    "find_run",
    "git_commit",
    "job_dirs",
    "newest_runs",
    "study_db",
    "sweep_dir",
]
