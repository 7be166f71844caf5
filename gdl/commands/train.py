"""gdl train: train a model on a data set, e.g. model=vae data=mnist trainer=gpu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdl.process import enable_garbage_collection, run_as_process
from gdl.stopping import told_to_stop  # everything else is imported where a signal is heard

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["main", "train"]


def train(cfg: DictConfig) -> float | None:
    """Fit, test, write metrics.json; return the validation value that checkpoints are chosen by."""
    from hydra.core.hydra_config import HydraConfig

    from gdl.commands.train_log import is_first_process, train_log
    from gdl.runs.directory import Run

    names = HydraConfig.get().runtime.choices
    if is_first_process():  # the next line comes after seconds of imports
        print(f"{names['model']} on {names['data']}: loading libraries and data")
    from gdl.training import run  # heavy imports only once the configuration is known to be good
    from gdl.training.finished import finished_run
    from gdl.training.processes import ended_together
    from gdl.training.results import finish

    if (finished := finished_run(cfg)) is not None:
        print(finished)
        return finished.value
    if is_first_process():
        train_log.attach(Run(HydraConfig.get().runtime.output_dir).train_log)
    training = run.prepare(cfg)
    cost = run.show_cost(training)
    if cost is not None and (cost.seconds_left or 0) > 24 * 3600:
        print(_instead(names["model"]))
    enable_garbage_collection()
    with ended_together(training.trainer):
        run.fit(training)
        return finish(training)


def _instead(model: str) -> str:
    """Return what to try where a training takes more than a day."""
    from gdl.commands.conf import CONF

    # presets of a model build on its file
    files = sorted((CONF / "model").glob(f"{model}_*.yaml"))
    presets = [f"model={p.stem}" for p in files if f"- {model}\n" in p.read_text()]
    options = ["trainer=gpu", *presets, "smaller images"]
    return f"that is more than a day: try {', '.join(options[:-1])} or {options[-1]}"


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command
        from gdl.commands.train_log import recorded

        with recorded():
            run_command(train, "train")


if __name__ == "__main__":
    run_as_process(main)
