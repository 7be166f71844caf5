"""Whether a run to resume has anything left to train."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gdl.files import for_shell
from gdl.runs.directory import Run
from gdl.serialization import read_checkpoint

__all__ = ["FinishedRun", "finished_run"]


class FinishedRun:
    """A run that was trained to its end, tested and recorded.

    Args:
        run: The run.
        cfg: The configuration with which it was to be resumed.
    """

    def __init__(self, run: Run, cfg: DictConfig) -> None:
        self.run, self.cfg, self.metrics = run, cfg, run.metrics()

    @property
    def value(self) -> float | None:
        """The best validation value, for sweeps."""
        return next((v for k, v in self.metrics.items() if k.startswith("best_")), None)

    def __str__(self) -> str:
        epochs, steps = self.metrics["epochs"], self.metrics["steps"]
        in_steps = (self.cfg.trainer.get("max_steps") or -1) > 0
        longer = f"max_steps={2 * steps}" if in_steps else f"max_epochs={2 * max(1, epochs)}"
        return (
            f"{self.run.path} is finished, with {epochs} epochs and {steps} steps; nothing was "
            f"changed. To train it longer, say how long: resume={for_shell(self.run.path)} "
            f"trainer.{longer}"
        )


def finished_run(cfg: DictConfig) -> FinishedRun | None:
    """Return the run to resume if it has nothing left to do, else None.

    It is finished if its results are those of its last checkpoint, and the configuration asks for no
    longer training than before, or for no longer training than there was.

    Raises:
        GdlError: The checkpoint is damaged.
    """
    if cfg.resume is None or Path(cfg.resume).name != "last.ckpt":
        return None
    run = Run(HydraConfig.get().runtime.output_dir)
    metrics = run.metrics()
    if not {"epochs", "steps", "train_seconds"} <= metrics.keys():
        return None
    last = read_checkpoint(cfg.resume)
    if last.get("global_step") != metrics["steps"]:
        return None  # it was trained on afterwards
    if _is_same(last["gdl_config"], cfg) or _has_reached(metrics, cfg.trainer):
        return FinishedRun(run, cfg)
    return None


def _is_same(saved: dict[str, Any], cfg: DictConfig) -> bool:
    """Return whether what decides on the end of a training is as it was."""
    wanted = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(wanted, dict)
    return all(
        _given(saved.get(part)) == _given(wanted[part]) for part in ("trainer", "callbacks")
    )


def _given(node: Any) -> dict[str, Any]:
    """Return the entries that are not null: an entry that is null may as well be left out."""
    return {key: value for key, value in (node or {}).items() if value is not None}


def _has_reached(metrics: dict[str, Any], trainer: DictConfig) -> bool:
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps")
    return any(
        limit is not None and 0 <= limit <= reached
        for limit, reached in ((epochs, metrics["epochs"]), (steps, metrics["steps"]))
    )
