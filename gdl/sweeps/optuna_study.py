"""Continues an Optuna search: earlier trials count, interrupted ones are run first."""

from pathlib import Path
from typing import NamedTuple

from gdl.runs.directory import study_db

__all__ = ["StudySoFar", "continue_study"]


class StudySoFar(NamedTuple):
    """The number of trials that earlier starts of a search have made."""

    trials: int
    """All trials."""
    ended: int
    """Trials that have ended and are not run again, which count towards the total."""


def continue_study(folder: Path, retry_failed: bool) -> StudySoFar | None:
    """Enqueue the trials that were running when the search ended, with the same parameters.

    Jobs with the same parameters have the same folder, so they continue from their checkpoints.

    Args:
        folder: The folder of the sweep.
        retry_failed: Enqueue failed trials, too.

    Returns:
        None where there is no study yet.
    """
    database = study_db(folder)
    if not database.exists():
        return None
    import optuna
    from optuna.trial import TrialState as State

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name="gdl", storage=f"sqlite:///{database}")
    again = {State.RUNNING, State.FAIL} if retry_failed else {State.RUNNING}
    trials = study.get_trials(deepcopy=False)
    known = [t.params for t in trials if t.state == State.COMPLETE]
    known += [t.system_attrs["fixed_params"] for t in trials if t.state == State.WAITING]
    ended = sum(t.state.is_finished() and t.state not in again for t in trials)
    for trial in trials:
        if trial.state == State.RUNNING:
            study.tell(trial.number, state=State.FAIL)
        if trial.state in again and trial.params not in known:
            study.enqueue_trial(trial.params)
            known.append(trial.params)
    return StudySoFar(len(trials), ended)
