"""The stages of a training run: prepare, estimate the cost and fit; `results.py` tests and records."""

import logging
import os
import time
import warnings
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from gdl.capabilities import InitializesFromData
from gdl.data.base import ImageData
from gdl.data.text import HasText
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.memory import enough_memory
from gdl.noise import mix_seed
from gdl.runs.checkpoints import AtomicCheckpointIO
from gdl.runs.directory import Run
from gdl.runs.hardware import hardware
from gdl.runs.lock import hold
from gdl.serialization import TRAINING_KEYS
from gdl.training.callbacks import seconds_left
from gdl.training.conditional import add_classes
from gdl.training.lean_loop import lean
from gdl.training.loggers import open_loggers
from gdl.training.preview import Preview, images_to_train, preview
from gdl.training.processes import end_together

__all__ = ["Training", "fit", "prepare", "show_cost"]

QUIET = (
    ".*does not have many workers.*",
    ".*GPU available but not used.*",
    ".*LeafSpec.*",
    ".*exists and is not empty.*",
    ".*`isinstance.treespec.*",
    ".*logging interval.*",
    ".*your dataloader is not resumable.*",  # gdl's loader resumes from the trainer's batch count
    ".*sync_dist=True.*",  # the means are reduced over processes before they are logged
    ".*AccumulateGrad node's stream.*",  # comes with CUDA graphs, in which nothing is accumulated
)
"""Warnings of libraries that do not apply to gdl, as regular expressions."""


@dataclass
class Training:
    """The objects of one training run."""

    cfg: DictConfig
    run: Run
    data: ImageData
    model: GenerativeModel
    trainer: pl.Trainer
    resume_from: str | None
    train_seconds: float = 0.0


def prepare(cfg: DictConfig) -> Training:
    """Build data, model, callbacks, loggers and trainer.

    Raises:
        GdlError: The seed is no integer. Missing data, a model that does not fit them, or a missing
            device are reported in the same way.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    for message in QUIET:
        warnings.filterwarnings("ignore", message)
    _check_device(cfg)
    if not isinstance(cfg.seed, int):
        raise GdlError(f"seed must be an integer, got {cfg.seed!r}.")
    if cfg.trainer.accelerator == "cpu":
        # Lightning sets this to 1; then optimizers query NVML for a GPU at each step, which is slow
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision("high")
    choices = HydraConfig.get().runtime.choices
    data = instantiate(cfg.data, _convert_="all")
    if not isinstance(data, ImageData):
        raise GdlError(f"data._target_={cfg.data.get('_target_')} is no gdl.data.ImageData.")
    add_classes(cfg, data)
    model = build_model(cfg.model)
    if tuple(model.shape) != tuple(data.shape):
        raise GdlError(
            f"model.shape={list(model.shape)} is not that of the images, {list(data.shape)}: leave "
            "it out, so that it follows the data."
        )
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    model.config = {str(k): v for k, v in config.items()} | {
        "choices": {k: str(v) for k, v in choices.items() if not k.startswith("hydra")}
    }
    if model.num_classes and data.class_names is not None:
        model.config["class_names"] = list(data.class_names)
    if isinstance(data, HasText):
        # texts are encoded and decoded without the data
        model.config["alphabet"] = data.characters
