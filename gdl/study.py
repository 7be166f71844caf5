"""sweep=optuna started again: what was tried counts, what was cut off is tried first."""

from pathlib import Path

from omegaconf import OmegaConf

__all__ = ["go_on"]

CONF = Path(__file__).resolve().parent.parent / "conf" / "sweep" / "optuna.yaml"


def go_on(args: list[str], folder: Path) -> list[str]:
    """Prepare the study of a sweep, outputs/sweeps/<name>/study.db, and return the arguments.

    Trials that were running when the sweep ended, and unless sweep.rerun=none those that failed, are
    enqueued with the same parameters: their jobs have the same folders, and go on there. The others
    count towards sweep.trials.

    Args:
        args: The command line of a multirun.
        folder: Where the sweep is; it is created.
    """
    if "sweep=optuna" not in args:
        return args
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / "study.db"
    if not database.exists():
        return args
    import optuna
    from optuna.trial import TrialState as State

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name="gdl", storage=f"sqlite:///{database}")
    again = {State.RUNNING} if "sweep.rerun=none" in args else {State.RUNNING, State.FAIL}
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
    default = OmegaConf.load(CONF).sweep.trials
    total = [default, *(a.partition("=")[2] for a in args if a.startswith("sweep.trials="))][-1]
    # another seed than before, which would suggest the same again
    return [
        *args,
        f"hydra.sweeper.n_trials={max(0, int(total) - ended)}",
        f"hydra.sweeper.sampler.seed={len(trials)}",
    ]
