"""A run that is killed and resumed ends with the weights of an undisturbed one, bit for bit."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import pytest
import torch

from gdl.commands.explain import explain
from gdl.errors import GdlError
from gdl.files import is_whole_archive, write_atomically
from gdl.runs.checkpoints import AtomicCheckpointIO
from gdl.runs.directory import Run

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = [
    "data=digits",
    "data.batch_size=32",
    "callbacks=ema",  # averaged weights have to survive too
    "scheduler=cosine",
    "trainer.max_epochs=8",
    "callbacks.images.every_n_epochs=4",
]
ENV = {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}


def start(*args):
    command = [sys.executable, str(ROOT / "train.py"), *args]
    return subprocess.Popen(
        command, cwd=ROOT, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(*args):
    done = forked.gdl("train", *args, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kill_when(condition, *args, signum=signal.SIGKILL):
    def kill(process):
        deadline = time.monotonic() + 120
        while not condition():
            assert process.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signum)

    done = forked.gdl("train", *args, cwd=ROOT, meanwhile=kill)
    return done.stdout + done.stderr, done.returncode


def last(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def assert_same(a, b):
    """The weights, the optimizer's moments and the current (not averaged) weights are equal."""
    assert a["global_step"] == b["global_step"]
    for part in ("state_dict", "current_model_state"):
        assert a[part].keys() == b[part].keys()
        for name in a[part]:
            assert torch.equal(a[part][name], b[part][name]), name
    for x, y in zip(a["optimizer_states"], b["optimizer_states"], strict=True):
        for i in x["state"]:
            for name, value in x["state"][i].items():
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(y["state"][i][name]))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    finish(*OPTIONS, "logger=csv", f"hydra.run.dir={folder}")
    return folder


def rows(folder):
    return len((folder / "metrics.csv").read_text().splitlines()) if folder.is_dir() else 0


def test_killed_twice_and_resumed(undisturbed, tmp_path):
    folder = tmp_path / "killed"
    csv = folder / "metrics.csv"
    seen = lambda n: lambda: csv.exists() and rows(folder) > n  # noqa: E731
    kill_when(seen(4), *OPTIONS, "logger=wandb", f"hydra.run.dir={folder}")
    kill_when(seen(9), f"resume={folder}")
    process = start(f"resume={folder}")
    output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    assert f"wandb sync {folder}/wandb/offline-run-*" in output.replace("\n", "")
    assert_same(last(undisturbed), last(folder))
    a, b = (Run(f).metrics() for f in (undisturbed, folder))
    assert a["test/nll"] == b["test/nll"]
    strip = lambda f: [  # noqa: E731 - all columns but the measured speed
        (r["step"], r["train/nll"], r["val/nll"]) for r in read_csv(f / "metrics.csv")
    ]
    assert strip(folder) == strip(undisturbed)
    seconds = [float(r["seconds"]) for r in read_csv(csv) if r["seconds"]]
    assert seconds == sorted(seconds), "the clock goes on where it was killed"
    assert len(seconds) >= 16
    assert not list(folder.glob("**/.*.tmp")) or is_whole_archive(
        folder / "checkpoints" / "last.ckpt"
    )
    ids = {p.stem for p in folder.glob("wandb/offline-run-*/run-*.wandb")}
    assert ids == {f"run-{json.loads((folder / 'run.json').read_text())['wandb_id']}"}


def read_csv(path):
    import csv

    with path.open() as f:
        return list(csv.DictReader(f))


def test_told_to_stop_within_an_epoch(undisturbed, tmp_path):
    stop_and_go_on(undisturbed, tmp_path / "stopped", [signal.SIGTERM])


@pytest.mark.slow
def test_told_to_stop_twice_and_killed_within_epochs(undisturbed, tmp_path):
    signals = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
    # a save after each step, for the kill that nothing can answer
    stop_and_go_on(undisturbed, tmp_path / "stopped", signals, "checkpoint_every=1e-9")


def stop_and_go_on(undisturbed, folder, signals, *options):
    csv = folder / "metrics.csv"
    started = lambda n: lambda: csv.exists() and rows(folder) > n  # noqa: E731
    args = [*OPTIONS, "logger=csv", f"hydra.run.dir={folder}"]
    given = []
    for i, signum in enumerate(signals):
        output, code = kill_when(started(3 + 2 * i), *args, *options, signum=signum)
        if signum != signal.SIGKILL:
            assert code == 128 + signum, output
            assert f"stopped by {signum.name}; resume={folder} goes on" in output
        loop = last(folder)["loops"]["fit_loop"]
        given.append(loop["epoch_loop.batch_progress"]["current"]["ready"])
        args = [f"resume={folder}"]
    assert any(n % 41 for n in given), "within an epoch of 41 batches"
    finish(f"resume={folder}")
    assert_same(last(undisturbed), last(folder))


@pytest.mark.slow
def test_killed_before_the_first_checkpoint_starts_over(undisturbed, tmp_path):
    folder = tmp_path / "early"
    kill_when((folder / "run.json").exists, *OPTIONS, "logger=csv", f"hydra.run.dir={folder}")
    output = finish(f"resume={folder}")
    assert_same(last(undisturbed), last(folder))
    assert "starts over" in output or "epoch" in output


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(10))
def test_killed_at_a_random_moment(undisturbed, tmp_path, moment):
    folder = tmp_path / "random"
    delay = 0.15 * moment
    kill_when((folder / "run.json").exists, *OPTIONS, "logger=csv", f"hydra.run.dir={folder}")
    process = start(f"resume={folder}")
    time.sleep(4 + delay)
    process.kill()
    process.communicate()
    finish(f"resume={folder}")
    assert_same(last(undisturbed), last(folder))


def test_a_half_written_file_is_never_taken_for_a_checkpoint(undisturbed, tmp_path):
    run = Run(tmp_path)
    run.checkpoints.mkdir()
    whole = (undisturbed / "checkpoints" / "last.ckpt").read_bytes()
    (run.checkpoints / "last.ckpt").write_bytes(whole[:-1000])
    with pytest.raises(GdlError, match=r"last\.ckpt is damaged"):
        run.checkpoint("last")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    (run.checkpoints / "last.ckpt").write_bytes(flipped)
    (run.checkpoints / "best.ckpt").write_bytes(whole)
    assert run.checkpoint("last").name == "best.ckpt"


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GdlError, match="disk is full"):
        AtomicCheckpointIO().save_checkpoint({"step": 2}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_writes_are_whole_or_absent(tmp_path):
    path = tmp_path / "metrics.json"
    write_atomically(path, "old")
    with pytest.raises(TypeError):
        write_atomically(path, 3)
    assert path.read_text() == "old"


def test_a_full_disk_is_a_sentence_that_names_the_file(tmp_path, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write does, without a name

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as found:
        write_atomically(tmp_path / "x.gdlz", b"x")
    path = tmp_path / "x.gdlz"
    said = f"The disk is full while writing {path}: free some space."
    assert explain(found.value, "compress") == said
    assert not [*tmp_path.iterdir()]


def test_a_checkpoint_cannot_run_code(undisturbed, tmp_path):
    import gdl
    from gdl.serialization import read_checkpoint

    content = last(undisturbed)
    path = tmp_path / "evil.ckpt"
    for target in ("os.system", "gdl.runs.directory.subprocess.run", "gdl.data.base.torch.load"):
        content["gdl_config"]["model"]["encoder"] = {"_target_": target, "args": "true"}
        torch.save(content, path)
        with pytest.raises(GdlError, match="not a part of gdl"):
            gdl.load(path, device="cpu")

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    torch.save({"state_dict": Evil(), "gdl_config": {"a": 1}}, path)
    with pytest.raises(GdlError, match="cannot be read"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()
