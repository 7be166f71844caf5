"""A run on several devices that loses a process ends with a sentence, and no process stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import lightning.pytorch as pl
import pytest
from lightning.pytorch.strategies.launchers import subprocess_script

from gdl.runs.directory import Run
from gdl.training.processes import _is_loss, _sentence, end_together

ROOT = Path(__file__).resolve().parent.parent
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
OPTIONS = ["model=fvsbn", "data=digits", "data.batch_size=8", "logger=csv"]
OPTIONS += ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
OPTIONS += ["trainer.max_epochs=200", "trainer.log_every_n_steps=5"]
OPTIONS += ["callbacks.images.every_n_epochs=0"]


def ranks(folder: Path) -> dict[int, int]:
    """Return the pids of the processes of a run, by rank."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_text()
            environ = (path / "environ").read_text().split("\0")
        except OSError:
            continue
        if str(folder) in line:
            rank = next((e for e in environ if e.startswith("LOCAL_RANK=")), "LOCAL_RANK=0")
            found[int(rank.removeprefix("LOCAL_RANK="))] = int(path.name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["training", "start"])
@pytest.mark.parametrize(
    ("rank", "signum"), [(0, "KILL"), (1, "KILL"), (0, "TERM"), (1, "TERM"), (1, "INT")]
)
def test_a_run_loses_a_process(moment: str, rank: int, signum: str, tmp_path: Path) -> None:
    folder, output = tmp_path / "run", tmp_path / "output.txt"
    with output.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "train.py", *OPTIONS, f"hydra.run.dir={folder}"],
            cwd=ROOT,
            env=ENV,
            stdout=out,
            stderr=out,
        )
    csv = folder / "metrics.csv"
    trains = lambda: csv.exists() and csv.read_text().count("\n") > 3  # noqa: E731
    deadline = time.monotonic() + 120
    while len(ranks(folder)) < 2 or (moment == "training" and not trains()):
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(ranks(folder)[rank], getattr(signal, f"SIG{signum}"))
    code = process.wait(timeout=60)
    deadline = time.monotonic() + 30
    while left := ranks(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    text = output.read_text()
    assert "Traceback" not in text, text
    sentences = [li for li in text.splitlines() if li.startswith(("error:", "stopped by"))]
    assert len(sentences) == 1, text
    if signum == "KILL":
        assert code == (1 if rank else -signal.SIGKILL)
        assert f"rocess {rank or ''}" in sentences[0].replace("first process", "process ")
    elif moment == "training":
        assert code == 128 + getattr(signal, f"SIG{signum}"), text
        assert (folder / "checkpoints" / "last.ckpt").exists()
    else:
        assert code in (1, 128 + getattr(signal, f"SIG{signum}")), text


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ([None, -9], "Process 2 of the run was killed by SIGKILL, perhaps out of memory"),
        ([-11], "Process 1 of the run was killed by SIGSEGV;"),
        ([143], "Process 1 of the run was told to stop"),
        ([0, 1], "Process 2 of the run has failed, see its message"),
        ([], "Another process of the run is gone"),
    ],
)
def test_what_is_said_of_a_lost_process(
    codes: list[int | None], words: str, tmp_path: Path
) -> None:
    sentence = _sentence(codes, Run(tmp_path))
    assert sentence.startswith(words)
    assert sentence.endswith(f"resume={tmp_path} starts it over.")


def test_what_is_taken_for_the_loss_of_a_process() -> None:
    lost = RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [::1]:1")
    outer = ValueError("outer")
    outer.__cause__ = lost
    assert _is_loss(lost)
    for text in (
        "[gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv",
        "Connection closed by peer [::1]:1234",
        "Connection reset by peer",
        "Broken pipe",
    ):
        assert _is_loss(RuntimeError(text)), text
    assert _is_loss(outer)
    assert not _is_loss(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not _is_loss(ValueError("gloo"))


def test_a_trainer_leaves_signals_to_gdl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess_script, "_launch_process_observer", None)
    monkeypatch.setenv("GDL_PARENT", "")
    trainer = pl.Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    end_together(trainer)
    assert subprocess_script._launch_process_observer is not None
    trainer._signal_connector.register_signal_handlers()
    assert signal.getsignal(signal.SIGTERM) == before
