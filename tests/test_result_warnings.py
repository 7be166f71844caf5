"""What a run says of itself: whether it is a result, and whether its latents are used."""

import json
import subprocess
from pathlib import Path

import forked
import lightning
import numpy as np
import pytest
from PIL import Image
from test_models import build

from gdl.comparison.entries import read_runs
from gdl.data import Digits
from gdl.runs.collapse import unused_latents
from gdl.runs.metrics import limits, not_whole
from gdl.runs.report import print_results

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["model=fvsbn", "trainer.max_epochs=1", "trainer.limit_train_batches=2", "logger=none",
         "callbacks.images.every_n_epochs=0", "data.eval_batch_size=100"]  # fmt: skip


def train(folder: Path, *args: str, command: str = "train") -> subprocess.CompletedProcess[str]:
    done = forked.gdl(command, *args, cwd=folder, COLUMNS="120")
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def metrics(folder: Path) -> list[dict]:
    files = sorted(folder.glob("**/metrics.json"))
    return [json.loads(f.read_text()) for f in files]


def test_a_run_records_its_data_and_how_many_images_it_was_tested_on(tmp_path):
    args = ["trainer.limit_test_batches=null,1", "sweep.name=s", *QUICK]
    train(tmp_path, "-m", *args)
    identity = Digits(shape=(1, 8, 8), levels=17).identity()
    found = metrics(tmp_path)
    for m in found:
        assert {k: m[f"data/{k}"] for k in identity} == identity
    assert sorted(m["test/images"] for m in found) == [100, 297]
    entries, left_out = read_runs([tmp_path])
    assert [e.metrics["test/images"] for e in entries] == [297]
    assert len(left_out) == 1
    printed = train(tmp_path, ".", command="compare").stdout
    assert printed.count("it ran with limit_test_batches=1") == 1


PARTS = [
    ["+trainer.overfit_batches=1"],
    ["+trainer.fast_dev_run=true"],
    ["trainer=debug"],  # its one batch holds all images, but the run is no result
    ["trainer.limit_test_batches=0"],
]


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS, ids=lambda p: p[0])
def test_no_way_to_test_on_a_part_makes_a_result(tmp_path, part):
    done = train(tmp_path, *QUICK, *part)
    assert "no result, because" in done.stderr
    entries, left_out = read_runs([tmp_path])
    assert (len(entries), len(left_out)) == (0, 1)


@pytest.mark.slow
def test_two_processes_count_their_images_together(tmp_path):
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    train(tmp_path, *QUICK, *two)
    assert metrics(tmp_path)[0]["test/images"] == 297


def test_lightnings_settings_are_read_by_type():
    assert limits({"limit_test_batches": 1.0, "overfit_batches": 0.0, "fast_dev_run": False}) == ""
    assert limits({"limit_test_batches": 1}) == "limit_test_batches=1"
    assert limits({"limit_test_batches": 0}) == "limit_test_batches=0"
    assert limits({}) == ""


BASE = {"model": "vae", "data": "digits", "kind": "bound", "test/nll": 9.0, "data/test": 297}


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"test/images": 297, "test/rate": 3.0}, []),
        ({"test/images": 96}, ["tested on 96 of 297 images"]),
        ({"limited_by": "fast_dev_run=1"}, ["ran with fast_dev_run=1"]),
        ({"test/rate": 0.013}, ["does not use its latents", "0.013 nats"]),
        ({"active_units": 0, "test/rate": 2.0}, ["no latent is active"]),
        ({"active_units": 3, "test/rate": 0.0}, ["the rate is 0 nats"]),
    ],
)
def test_a_warning_follows_what_is_no_result_or_does_not_use_its_latents(capsys, extra, words):
    print_results(BASE | extra)
    warned = capsys.readouterr().err
    assert warned.count("warning: ") == bool(words)
    assert all(w in warned for w in words)
    if "rate" in str(words):
        assert "lower model.beta" in warned


def test_a_model_without_latents_gets_no_warning():
    assert unused_latents({"test/nll": 1.0}) is None
    assert not_whole({}) is None


@pytest.mark.parametrize(
    ("beta", "used"), [("model.beta=64", False), ("model.latent_dim=32", True)]
)
def test_the_beta_vae_of_the_configuration_uses_its_latents(beta, used):
    """After 105 steps; with beta=4 from the first step on, the rate was 0.05 nats at this point."""
    model = build("beta_vae", "mlp", "digits", beta)
    data = Digits(shape=(1, 8, 8), levels=17, batch_size=64)
    model.initialize(data.images("train"))
    trainer = lightning.Trainer(
        max_steps=105, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(model, datamodule=data)
    for _ in range(2):
        trainer.test(model, datamodule=data, verbose=False)
        assert model.tested_images == 297
    found = {k: float(v) for k, v in trainer.callback_metrics.items()}
    assert (found["test/rate"] > 2) == used
    assert (unused_latents(found) is None) == used


@pytest.mark.slow
def test_numbers_of_other_images_are_not_kept(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(30):
        image = Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8))
        image.save(tmp_path / "photos" / f"{i}.png")
    folder = ["data=folder", "data.root=photos", "data.size=8", "data.channels=1"]
    train(tmp_path, *QUICK, *folder)
    before = metrics(tmp_path)
    done = train(tmp_path, "run=latest", "measure=bits", script="evaluate.py")
    assert "not kept" not in done.stdout
    assert metrics(tmp_path) != before, "the standard error came with it"
    before = metrics(tmp_path)
    image.save(tmp_path / "photos" / "0.png")
    done = train(tmp_path, "run=latest", "measure=bits", script="evaluate.py")
    assert "not kept, the images are not those" in done.stdout
    assert metrics(tmp_path) == before
