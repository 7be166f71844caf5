"""Overrides beside resume= are applied, or refused with a sentence before anything is written."""

from pathlib import Path

import pytest
import yaml

from gdl.commands.changes import check_change
from gdl.commands.resume import with_resume
from gdl.errors import GdlError
from gdl.runs.directory import Run

SAVED = ["model=vae", "+trainer.limit_train_batches=4", "model.free_bits=0.5"]
CONFIG = {
    "seed": 0,
    "data": {"batch_size": 64, "root": "images", "shape": [1, 8, 8]},
    "model": {"latent_dim": 8, "free_bits": 0.5, "optimizer": {"lr": 0.001}, "scheduler": None},
    "callbacks": {"ema": None, "images": {"n": 64}},
    "trainer": {"max_epochs": 3},
}
CHOICES = {"model": "vae", "data": "digits", "experiment": None, "network@model.network": "mlp"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    hydra = tmp_path / ".hydra"
    hydra.mkdir()
    (tmp_path / "run.json").write_text("{}")
    (hydra / "overrides.yaml").write_text(yaml.safe_dump(SAVED))
    (hydra / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    choices = {"hydra": {"runtime": {"choices": CHOICES}}}
    (hydra / "hydra.yaml").write_text(yaml.safe_dump(choices))
    return Run(tmp_path)


CHANGES = [
    "model.optimizer.lr=0.05",
    "model.latent_dim=7",
    "model.latent_dim='8'",
    "model.optimizer={lr:1}",
    "+model.new=1",
    "~model.scheduler",
    "++model.latent_dim=9",
    "model=nice",
    "network@model.network=conv",
    "scheduler@model.scheduler=cosine",
    "data=mnist",
    "data.batch_size=32",
    "data.shape=[1,4,4]",
    "experiment=vae_mnist",
    "seed=1",
    "seed=null",
    "callbacks=ema",
    "+callbacks.ema.decay=0.9",
    "callbacks.ema={decay:1}",
    "hydra.run.dir=elsewhere",
]


@pytest.mark.parametrize("override", CHANGES)
def test_what_would_change_the_training_is_refused(override: str, run: Run) -> None:
    with pytest.raises(GdlError, match=r"start a new run|leave out hydra") as e:
        with_resume([f"resume={run.path}", override])
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "override",
    [
        *SAVED,
        "model.optimizer.lr=0.001",
        "model.optimizer.lr=1e-3",
        "model.latent_dim=8",
        "model.scheduler=null",
        "data.shape=[1,8,8]",
        "data=digits",
        "network@model.network=mlp",
        "seed=0",
        "callbacks.images.n=16",
        "+callbacks.mine._target_=mylab.Callback",
        "trainer.max_epochs=30",
        "trainer=gpu",
        "+trainer.max_time=00:01:00:00",
        "logger=csv",
        "compile=true",
        "checkpoint_every=1",
        "data_dir=elsewhere",
        "data.root=elsewhere",
        "hydra.job.name=train_ddp_process_1",
        "model.latnt_dim=7",  # Hydra knows the nearest key
    ],
)
def test_what_resuming_can_honour_is_applied(override: str, run: Run) -> None:
    args, resumed = with_resume([f"resume={run.path}", override])
    assert resumed
    assert args[len(SAVED)] == override


def test_the_own_directory_is_no_change(run: Run) -> None:
    check_change(run, SAVED, f'hydra.run.dir="{run.path}"')
