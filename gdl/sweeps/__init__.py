"""Sweeps: jobs that are done once, and Optuna searches that can be continued."""

from gdl.sweeps.apart import run_apart, stop_workers
from gdl.sweeps.jobs import Job, JobFailed, JobStopped, report, run_job
from gdl.sweeps.names import job_name, sweep_name
from gdl.sweeps.optuna_study import StudySoFar, continue_study

__all__ = [
    "Job",
    "JobFailed",
    "JobStopped",
    "StudySoFar",
    "continue_study",
    "job_name",
    "report",
    "run_apart",
    "run_job",
    "stop_workers",
    "sweep_name",
]
