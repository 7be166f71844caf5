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
from gdl.data.text_protocols import HasAlphabet, TakesAlphabet
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.memory import enough_memory
from gdl.noise import mix_seed
from gdl.runs.checkpoints import AtomicCheckpointIO
from gdl.runs.directory import Run
from gdl.runs.hardware import hardware
from gdl.runs.lock import hold
from gdl.serialization import TRAINING_KEYS, read_checkpoint
from gdl.training.conditional import add_classes
from gdl.training.lean_loop import lean
from gdl.training.loggers import open_loggers
from gdl.training.preview import Preview, images_to_train, preview
from gdl.training.processes import end_together
from gdl.training.progress_line import seconds_left

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
    if isinstance(data, TakesAlphabet) and cfg.resume:
        # the text may have changed since, but not what the model knows of its symbols
        known = read_checkpoint(cfg.resume)["gdl_config"]
        if "alphabet" in known:
            data.read_with(known["alphabet"])
            cfg.data.levels = data.levels
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
    if isinstance(data, HasAlphabet):
        if model.nll_kind is None:
            raise GdlError(
                f"This {type(model).__name__} has no distribution, and the numbers of symbols have no "
                "distance that it could measure: use model=transformer, or model=vae for latents."
            )
        # texts are encoded and decoded without the data
        model.config["alphabet"] = data.characters
    model.noise_seed, model.max_skipped_steps = cfg.seed, cfg.max_skipped_steps
    data.prepare_data()
    data.setup("fit")
    # the run directory is created after all input was checked, so bad input leaves no directory
    run = Run(HydraConfig.get().runtime.output_dir)
    run.metrics()  # so that a damaged file is told before the training, not after it
    # the W&B id is stored in run.json, so that a resumed run continues the same W&B run
    wandb_id = f"{mix_seed(str(run.path), time.time_ns()):016x}"[-12:]
    names = {"model": choices["model"], "data": choices["data"]}
    record: dict[str, Any] = {**names, "wandb_id": wandb_id, "hardware": hardware()}
    if rank_zero_only.rank == 0:  # pyright: ignore[reportFunctionMemberAccess]
        hold(run.path)
        record = run.note_command(**record)
    checkpoint = cfg.callbacks.checkpoint
    if checkpoint is not None and checkpoint.monitor == "val/nll":
        # a model without a likelihood has only its loss
        other = "val/loss" if model.nll_kind is None else "val/nll_given_label"
        checkpoint.monitor = "val/nll" if model.nll_kind and not model.num_classes else other
    loggers = open_loggers(cfg, run, record)
    for logger in loggers:
        facts = {"git_commit": record.get("git_commit"), "run_dir": str(run.path)}
        logger.log_hyperparams(model.config | facts | {"data_facts": data.facts()})
    callbacks = [c for c in instantiate(cfg.callbacks, _convert_="all").values() if c]
    trainer: pl.Trainer = instantiate(
        cfg.trainer,
        callbacks=callbacks,
        # without any, Lightning would add one of its own
        enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
        logger=loggers or False,
        plugins=[AtomicCheckpointIO()],
        _convert_="all",
    )
    end_together(trainer)
    lean(trainer)
    # with max_steps, Lightning would start the epoch again that a checkpoint has ended
    trainer.fit_loop._iteration_based_training = lambda: False
    data.move_to(trainer.strategy.root_device)
    model.to(trainer.strategy.root_device)
    return Training(cfg, run, data, model, trainer, cfg.resume)


def build_model(node: DictConfig) -> GenerativeModel:
    """Return the model of a configuration node, with its optimizer and scheduler."""
    arguments: Any = OmegaConf.to_container(node, resolve=True)
    parts = {key: arguments.pop(key, None) for key in TRAINING_KEYS}
    del parts["conditional"]  # see `add_classes`
    # inside of a node called "model", because error messages contain the path of the node
    with enough_memory(copies=1 if torch.cuda.is_available() else 4):
        model: GenerativeModel = instantiate({"model": arguments}, _convert_="all")["model"]
    if not isinstance(model, GenerativeModel):
        target = arguments.get("_target_")
        raise GdlError(f"model._target_={target} is no gdl.families.GenerativeModel.")
    if parts["optimizer"] is not None:
        model.train_with(**instantiate(parts, _convert_="all"))
    return model


def show_cost(job: Training) -> Preview | None:
    """Print the number of parameters, the images/s of a few steps and the expected duration.

    Returns:
        The estimate; None in all processes but the first.
    """
    if not job.trainer.is_global_zero:
        return None
    images, done = images_to_train(job.trainer, job.data, job.resume_from)
    shape = "x".join(map(str, job.model.shape))
    names = HydraConfig.get().runtime.choices
    device, limit = job.trainer.strategy.root_device, seconds_left(job.trainer)
    estimate = preview(job.model, job.data, device, images, done, limit=limit)
    values = "continuous" if job.model.levels is None else f"{job.model.levels} levels"
    print(f"{names['model']} on {names['data']} ({shape}, {values}): {estimate}")
    return estimate


def fit(job: Training) -> None:
    """Train, from data or from the checkpoint of an interrupted run."""
    if isinstance(job.model, InitializesFromData) and job.resume_from is None:
        job.model.initialize(job.data.images("train")[:10_000])
    if job.cfg.compile:
        job.model.compile_networks()
    job.trainer.fit(job.model, datamodule=job.data, ckpt_path=job.resume_from, weights_only=True)
    job.train_seconds = job.model.fit_seconds
    # where a finished run was resumed, Lightning has not counted its last epoch
    epochs: Any = job.trainer.fit_loop.epoch_progress.current
    epochs.completed = epochs.processed
    if job.trainer.enable_validation and job.model.validated_step < job.trainer.global_step:
        # training ended between two validations; `BestCheckpoint` looks at this one too
        job.trainer.validate(job.model, datamodule=job.data, verbose=False)


def _check_device(cfg: DictConfig) -> None:
    wanted = cfg.trainer.accelerator
    if wanted in ("gpu", "cuda") and not torch.cuda.is_available():
        raise GdlError("This machine has no CUDA GPU that torch can see: use trainer=cpu.")
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise GdlError("This machine has no Apple GPU that torch can see: use trainer=cpu.")
