"""Bad input gets a sentence and exit code 1; the entry points work as processes."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import forked
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["data=digits", "trainer=debug", "logger=none", "callbacks.images.every_n_epochs=0"]


def run(script, *args, env=None, cwd=ROOT):
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", **(env or {})},
        timeout=240,
    )
    done.seconds = time.monotonic() - started
    return done


def fork(script, *args, cwd=ROOT):
    """Return what `run` does, without the time of imports."""
    return forked.gdl(script.removesuffix(".py"), *args, cwd=cwd)


def main(script, *overrides):
    """Call the task of an entry point in this process."""
    import hydra

    from gdl.commands.conf import CONF, register_resolvers

    register_resolvers()
    name = script.removesuffix(".py")
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose(name, list(overrides))
    return getattr(importlib.import_module(f"gdl.commands.{name}"), name)(cfg)


def sentence(done):
    """Return the one line on stderr of a refused command."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A VAE trained on the digits for two epochs, with W&B offline."""
    folder = tmp_path_factory.mktemp("run") / "vae"
    options = ["trainer.max_epochs=2", "callbacks.images.every_n_epochs=1"]
    done = run("train.py", "model=vae", *options, f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    done.folder = folder
    return done


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["model=vea"], "did you mean vae?"),
        (["modle=vae"], "did you mean model?"),
        (["model.latnt_dim=3"], "did you mean model.latent_dim?"),
        (["trainer.max_epoch=3"], "did you mean trainer.max_epochs?"),
        (["optimizer.lr=1"], "did you mean model.optimizer.lr?"),
        (["optimizer=adma"], "did you mean adam?"),
        (["resume=nothing"], "nothing matches"),
        (["run_dir="], "run_dir= has no value"),
        (["trainer.max_epochs=[1"], "'trainer.max_epochs=[1' is not an override"),
    ],
)
def test_a_typo_fails_fast_with_the_nearest_name(arguments, expected):
    done = run("train.py", *arguments)
    assert expected in sentence(done)
    assert done.seconds < 4  # 0.5 s on a quiet machine; twice the promised 2 s on a busy one


def test_a_refused_job_names_the_fix_and_leaves_no_run(tmp_path):
    folder = tmp_path / "run"
    done = fork("train.py", *QUICK, "likelihood=bernoulli", f"hydra.run.dir={folder}")
    assert "use data=binarized_mnist" in sentence(done)
    assert not (folder / "run.json").exists()


def test_a_loss_that_is_not_finite_names_its_term_and_step(tmp_path):
    options = ["model.optimizer.lr=1e8", "logger=none", f"hydra.run.dir={tmp_path}"]
    text = sentence(fork("train.py", *options))
    assert re.search(r"train/\w+ is NaN or infinite at step \d+", text)
    assert "lower model.optimizer.lr" in text
    assert re.search(r"\d\d steps were skipped .* max_skipped_steps=10", text)
    assert not list(tmp_path.glob("checkpoints/*")), "nothing bad was saved"
    assert (tmp_path / "train.log").read_text().endswith(f"{text}\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["model.latent_dim=two"], "model.latent_dim=two does not fit: give a whole number"),
        (["trainer.precision=17"], "trainer.precision=17 does not fit: give 64 or 32 or 16"),
    ],
)
def test_values_without_meaning_are_refused(arguments, expected):
    assert expected in sentence(fork("train.py", *QUICK, *arguments))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_said():
    assert "use trainer=cpu" in sentence(fork("train.py", "trainer=gpu"))


def test_missing_value_is_named():
    assert "data.root" in sentence(fork("train.py", "data=folder"))


def test_training_writes_what_it_promises(trained):
    folder = trained.folder
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["kind"] == "bound"
    assert metrics["skipped_steps"] == 0
    bpd = metrics["test/nll"] / (64 * 0.6931471805599453)
    assert metrics["test/bpd"] == pytest.approx(bpd, rel=1e-6)
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    for name in ("samples", "reconstructions"):
        assert (folder / "images" / f"{name}_epoch0002.png").is_file()
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    for column in ("step", "train/bpd", "val/bpd", "test/bpd", "lr", "images_per_second"):
        assert column in header.split(",")
    assert len(rows) >= 5
    log = (folder / "train.log").read_text().splitlines()  # in the order in which it was printed
    assert sorted(log) == sorted((trained.stdout + trained.stderr).splitlines())
    assert "parameters" in trained.stdout
    assert "images/s" in trained.stdout
    assert "bits/dim" in trained.stdout
    assert "wandb sync" in trained.stdout
    assert str(folder / "checkpoints" / "best.ckpt") in trained.stdout.replace("\n", "")


def test_every_task_makes_its_picture(trained, tmp_path, capsys):
    from PIL import Image

    for task in ("sample", "reconstruct", "interpolate", "traverse", "manifold", "embed"):
        written = main("sample.py", f"run={trained.folder}", f"task={task}", f"out={tmp_path}")
        assert written
        for path in map(Path, written):
            with Image.open(path) as picture:
                assert len(picture.convert("L").getcolors(256) or []) > 10, f"{path} is blank"
        assert any(p.endswith(".gif") for p in written) == (task in ("interpolate", "traverse"))
        output = capsys.readouterr().out
        assert ("largest reconstruction error" in output) == (task == "reconstruct")


def test_a_picture_can_be_bare_or_single_files(trained, tmp_path, capsys):
    import numpy as np
    from PIL import Image

    args = ("sample.py", f"run={trained.folder}", "task.n=4")
    (bare,) = main(*args, "task.bare=true", f"out={tmp_path}/bare")
    written = main(*args, "task.files=true", f"out={tmp_path}/all")
    assert [Path(p).name for p in written] == ["samples.png", "samples.npz", "samples"]
    assert "0 to 16 are written as 0 to 255" in capsys.readouterr().out
    with Image.open(bare) as naked, Image.open(written[0]) as whole:
        assert naked.size[0] < whole.size[0]
        assert naked.size[1] < whole.size[1] - 20  # the title
    assert len([*Path(written[2]).iterdir()]) == 4
    with np.load(written[1], allow_pickle=False) as content:
        assert str(content["title"]).startswith("vae on digits: 4 samples, seed 0")
    assert "did you mean task.files?" in sentence(fork(*args, "task.fils=true"))
    assert "true or false" in sentence(fork(*args, "task.files=3"))


def test_interpolation_between_two_files_of_the_users_own(trained, tmp_path):
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0)
    for name in "ab":
        pixels = noise.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    files = f"task.images=[{tmp_path}/a.png,{tmp_path}/b.png]"
    assert main("sample.py", f"run={trained.folder}", "task=interpolate", files, f"out={tmp_path}")
    missing = f"task.images=[{tmp_path}/a.png,{tmp_path}/c.png]"
    done = fork("sample.py", f"run={trained.folder}", "task=interpolate", missing)
    assert "c.png" in sentence(done)


def test_a_quick_look_is_not_kept(trained):
    before = (trained.folder / "metrics.json").read_text()
    main("evaluate.py", f"run={trained.folder}", "measure.iwae.k=2", "limit=10")
    assert (trained.folder / "metrics.json").read_text() == before


def test_evaluate_merges_bounds_in_order(trained):
    done = run("evaluate.py", f"run={trained.folder}", "k=50")  # an old spelling
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("note: k=50 is now measure=iwae measure.k=50") == 1
    metrics = json.loads((trained.folder / "metrics.json").read_text())
    assert metrics["iwae-50/nll"] < metrics["test/nll"]
    assert metrics["test/nll"] == pytest.approx(metrics["test/rate"] + metrics["test/distortion"])
    assert metrics["iwae-50/nll_se"] > 0
    assert 0 <= metrics["active_units"] <= 32
    assert metrics["params"] > 0  # what train.py wrote is still there
    assert "iwae-50" in done.stdout


def test_a_checkpoint_that_stands_alone_is_named_and_has_its_kind(trained, tmp_path, capsys):
    shutil.copy(trained.folder / "checkpoints" / "best.ckpt", tmp_path)
    main("evaluate.py", f"run={tmp_path / 'best.ckpt'}", "measure=bits", "limit=20")
    printed = capsys.readouterr().out
    assert "VAE on Digits" in printed
    assert "bound" in printed
    assert "no density" not in printed


NUMBERS = ("nll", "nll_se", "bpd", "bpd_se", "effective_samples", "effective_samples_min")


def test_one_measure_leaves_the_others_as_they_are(trained):
    before = json.loads((trained.folder / "metrics.json").read_text())
    found = main("evaluate.py", f"run={trained.folder}", "measure=iwae", "measure.k=30")
    after = json.loads((trained.folder / "metrics.json").read_text())
    assert found.keys() - {"evaluate_seconds"} == {f"iwae-30/{key}" for key in NUMBERS}
    assert after == before | found


def test_a_measure_that_the_model_cannot_give_names_models_that_can(trained):
    text = sentence(fork("evaluate.py", f"run={trained.folder}", "measure=conditional"))
    assert "which VAE lacks: use a run of model=fvsbn, made," in text


def test_a_run_that_does_not_exist_lists_the_newest(trained):
    text = sentence(fork("sample.py", "run=nowhere", cwd=trained.folder.parent))
    assert "nothing matches" in text


def test_unreadable_and_foreign_checkpoints(trained, tmp_path):
    whole = (trained.folder / "checkpoints" / "best.ckpt").read_bytes()
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as a checkpoint" in sentence(fork("sample.py", f"run={cut}"))
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {}}, foreign)
    assert "not one of gdl" in sentence(fork("sample.py", f"run={foreign}"))


@pytest.mark.parametrize("logger", ["csv", "tensorboard", "none"])
def test_every_logger_works(logger, tmp_path):
    if logger == "tensorboard":
        pytest.importorskip("tensorboard")
    options = [o for o in QUICK if not o.startswith(("logger", "callbacks"))]
    done = fork("train.py", *options, f"logger={logger}", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "metrics.csv").exists() == (logger != "none")
    events = list(tmp_path.glob("tensorboard/**/events.out.*"))
    assert bool(events) == (logger == "tensorboard")
    assert (tmp_path / "metrics.json").is_file()


def test_mixed_precision_clipping_and_averaging_go_together(tmp_path):
    options = ["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1", "callbacks=ema"]
    done = fork("train.py", *QUICK[:3], *options, f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr


def test_an_autoencoder_reports_no_likelihood_but_samples_garbage_on_request(tmp_path):
    options = [o for o in QUICK if not o.startswith("callbacks")]
    done = fork("train.py", "model=ae", *options, f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["kind"] is None
    assert not any("nll" in key or "bpd" in key for key in metrics)
    assert "no density" in done.stdout
    done = run("sample.py", f"run={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "images" / "samples.png").is_file()


def test_the_last_weights_are_looked_at_where_training_ends_between_validations(tmp_path):
    options = ["data=digits", "data.batch_size=300", "logger=none", "callbacks=ema"]
    options += ["trainer.max_steps=7", "callbacks.images.every_n_epochs=5"]
    done = fork("train.py", *options, f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == metrics["steps"] == 7  # of 5 in an epoch
    assert metrics["best_val/nll"] > 0
    pictures = {p.name for p in (tmp_path / "images").iterdir()}
    assert pictures == {"samples_epoch0002.png", "reconstructions_epoch0002.png"}
