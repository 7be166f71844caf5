"""The loggers of a training run, and what its W&B run is called."""

import os
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, open_dict

from gdl.runs.directory import Run, wandb_facts
from gdl.tracking.names import readable_name
from gdl.tracking.wandb_logger import DetachedWandb

__all__ = ["open_loggers"]


def open_loggers(cfg: DictConfig, run: Run, record: dict[str, Any]) -> list[Logger]:
    """Instantiate the loggers, and note in run.json what continues a W&B run."""
    nodes = dict(cfg.logger or {})
    if (node := nodes.get("wandb")) is not None:
        facts, defaults = wandb_facts(record), _wandb_names(cfg)
        sweep = os.environ.get("GDL_SWEEP")
        if sweep:
            defaults |= {"group": sweep, "job_type": "sweep"}
        if not ("wandb" in record or sweep):
            defaults |= facts  # a new run, for which the environment may choose another id
            facts = {}
        with open_dict(node):
            # those of a resumed run; and of a sweep, whose jobs WANDB_RUN_ID would make one run
            for key, value in facts.items():
                node[key] = node.get(key) or value
            node.defaults = defaults
    found = [instantiate(node, _convert_="all") for node in nodes.values() if node is not None]
    loggers = [logger for logger in found if logger is not None]
    for logger in loggers:
        if isinstance(logger, DetachedWandb):
            run.note_facts(wandb=logger.facts())
    return loggers


def _wandb_names(cfg: DictConfig) -> dict[str, Any]:
    """Return name, tags and job type of a W&B run, where its user has not chosen others."""
    hydra = HydraConfig.get()
    choices = [hydra.runtime.choices.get(group) for group in ("model", "data", "experiment")]
    choices = [str(choice) for choice in choices if choice not in (None, "null")]
    return {
        "name": readable_name(choices, list(hydra.overrides.task), cfg.seed),
        "tags": [choice[:64] for choice in choices],  # the longest that W&B takes
        "job_type": "train",
    }
