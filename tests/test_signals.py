"""A process that is told to stop, at any moment of any command, ends with a sentence and 128 + n."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import forked
import pytest

from gdl import stopping
from gdl.runs.directory import Run
from gdl.runs.lock import RunLock

ROOT = Path(__file__).resolve().parent.parent
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "PYTHONPATH": str(ROOT)}
QUICK = ["model=fvsbn", "data=digits", "logger=csv", "trainer.max_epochs=2"]
QUICK += ["+trainer.limit_train_batches=4", "callbacks.images.every_n_epochs=0"]
TERM, INT = signal.SIGTERM, signal.SIGINT

MOMENTS = {
    # the moment, and how the run goes on afterwards
    "the arguments": ("gdl.commands.entry:with_resume#1", ""),
    "the data": ("gdl.data.base:ImageData.setup#1", "nothing was kept"),
    "building the model": ("gdl.training.run:build_model#1", "nothing was kept"),
    "the trainer": ("gdl.training.run:end_together#1", "starts over"),
    "the warm-up": ("torch.optim.adam:Adam.step#3", "starts over"),
    "the start of training": ("gdl.training.interruption:Interruption.on_train_start#1", ""),
    "the first step": ("gdl.families.step:SharedStep.training_step#1", "goes on"),
    "the last step of an epoch": ("gdl.families.step:SharedStep.training_step#4", "goes on"),
    "the validation": ("gdl.families.step:SharedStep.validation_step#1", "goes on"),
    "the last step": ("gdl.families.step:SharedStep.training_step#8", "goes on"),
    "the last validation": ("gdl.families.step:SharedStep.validation_step#2", "goes on"),
    "the end of training": ("gdl.training.interruption:Interruption.on_train_end$1", "goes on"),
    "the test": ("gdl.families.step:SharedStep.test_step#1", "goes on"),
    "the results": ("gdl.runs.directory:Run.merge_metrics#1", "goes on"),
    "the table": ("gdl.training.results:print_results#1", "goes on"),
}
SAMPLE = {"the warm-up": TERM, "the validation": INT, "the test": TERM, "the table": INT}
EXTRA = sorted(set(MOMENTS) - set(SAMPLE))


Case = tuple[str, list[str], str, list[int]]


def told(cases: list[Case]) -> list[tuple[int, str]]:
    """Return exit codes and outputs of commands that get signals at their moments."""

    def answer(command: str, args: list[str], moment: str, signals: list[int]) -> tuple[int, str]:
        env = {"TOLD_AT": moment, "TOLD": " ".join(str(int(s)) for s in signals)}
        before = "told_at:told_at" if signals else ""
        done = forked.gdl(command, *args, cwd=ROOT, before=before, **env)
        return done.returncode, done.stdout + done.stderr

    return [answer(*case) for case in cases]


def assert_stopped(result: tuple[int, str], signum: int, words: str = "") -> None:
    code, output = result
    assert code == 128 + signum, output
    assert "Traceback" not in output
    (sentence,) = [li for li in output.splitlines() if li.startswith("stopped by")]
    assert sentence.startswith(f"stopped by {signal.Signals(signum).name}")
    assert words in sentence


def check_moments(wanted: dict[str, int], folder: Path) -> None:
    cases: list[Any] = []
    for i, (name, signum) in enumerate(wanted.items()):
        args = [*QUICK, f"hydra.run.dir={folder}/{i}"]
        cases.append(("train", args, MOMENTS[name][0], [signum]))
    for i, ((name, signum), result) in enumerate(zip(wanted.items(), told(cases), strict=True)):
        assert_stopped(result, signum, MOMENTS[name][1])
        kept = Run(folder / str(i))
        assert kept.has_checkpoint == ("goes on" in result[1]), name


def test_training_is_told_at_some_moments(tmp_path: Path) -> None:
    check_moments(SAMPLE, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [TERM, INT])
def test_training_is_told_at_any_moment(signum: int, tmp_path: Path) -> None:
    check_moments(dict.fromkeys(MOMENTS, signum), tmp_path)


def test_of_two_that_start_in_one_new_directory_one_is_refused(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "run")
    assert lock.acquire()
    ((code, output),) = told([("train", [*QUICK, f"hydra.run.dir={tmp_path}/run"], "", [])])
    assert code == 1
    assert f"belongs to process {os.getpid()}, which is writing there" in output
    assert "Traceback" not in output
    assert not Run(tmp_path / "run").record.exists()
    lock.release()


def test_a_sweep_is_told_in_a_test_and_goes_on(tmp_path: Path) -> None:
    sweep = ["hydra.mode=MULTIRUN", *QUICK, "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep"]
    first: Any = ("train", sweep, MOMENTS["the test"][0], [TERM])
    stopped, (code, output) = told([first, ("train", sweep, "", [])])
    assert_stopped(stopped, TERM, "the same command goes on")
    assert f"{tmp_path}/sweep: 1 interrupted\n" in stopped[1]
    assert code == 0, output
    assert f"{tmp_path}/sweep: 2 done\n" in output
    assert output.count(": goes on") == output.count(": starts") == 1


@pytest.mark.slow
def test_a_second_signal_stops_at_once_and_a_request_of_gdl_does_not(tmp_path: Path) -> None:
    moment = MOMENTS["the first step"][0]
    usr1 = signal.SIGUSR1
    orders = [[INT, INT], [TERM, INT], [INT, usr1], [usr1, TERM], [usr1]]  # one at a time
    args = [[*QUICK, f"hydra.run.dir={tmp_path}/{i}"] for i in range(len(orders))]
    cases: Any = [("train", a, moment, o) for a, o in zip(args, orders, strict=True)]
    for i, (result, signum) in enumerate(
        zip(told(cases), [INT, INT, INT, TERM, TERM], strict=True)
    ):
        assert_stopped(result, signum)
        at_once = "starts over" in result[1]
        assert at_once == (i in (0, 1)), orders[i]
        assert Run(tmp_path / str(i)).has_checkpoint != at_once


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    options = [*QUICK, "model=vae", "trainer.max_epochs=1", f"hydra.run.dir={folder}"]
    ((code, output),) = told([("train", options, "", [])])
    assert code == 0, output
    return folder


def test_a_finished_run_says_so_and_does_not_change(finished: Path) -> None:
    own = ("run.lock", "config.yaml", "hydra.yaml", "overrides.yaml")
    files = [p for p in finished.rglob("*") if p.is_file() and p.name not in own]
    before = {p: p.read_bytes() for p in files}
    resume: Any = ("train", [f"resume={finished}"], "", [])
    shorter: Any = ("train", [f"resume={finished}", "trainer.max_epochs=1"], "", [])
    for code, output in told([resume, shorter]):
        assert code == 0, output
        assert f"{finished} is finished, with 1 epochs and 4 steps" in output
        assert f"resume={finished} trainer.max_epochs=2" in output
    assert {p: p.read_bytes() for p in files} == before


def test_a_finished_run_trains_longer_and_tells_what_is_left(
    finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    longer = f"resume={tmp_path}/run"
    moment = "gdl.families.step:SharedStep.training_step#2"
    first: Any = ("train", [longer, "trainer.max_epochs=3"], moment, [TERM])
    stopped, (code, output) = told([first, ("train", [longer], "", [])])
    assert_stopped(stopped, TERM, "goes on from the last step")
    assert "of training left, of " in stopped[1]
    assert code == 0, output
    assert Run(tmp_path / "run").metrics()["steps"] == 3 * 4


@pytest.mark.slow
@pytest.mark.parametrize("signum", [TERM, INT])
def test_the_other_commands_are_told(signum: int, finished: Path) -> None:
    moments = {
        ("sample", "gdl.runs.checkpoints:read_checkpoint#1"),
        ("sample", "gdl.models.vae:VAE.sample#1"),
        ("sample", "gdl.plots:save_result#1"),
        ("evaluate", "gdl.runs.checkpoints:build_model#1"),
        ("evaluate", "gdl.models.vae:VAE.loss#1"),
        ("evaluate", "gdl.runs.directory:Run.merge_metrics$1"),
        ("compare", "gdl.comparison.entries:read_runs#1"),
        ("compare", "gdl.comparison.terminal:print_tables$1"),
    }
    cases: Any = [
        (command, [str(finished) if command == "compare" else f"run={finished}"], moment, [signum])
        for command, moment in sorted(moments)
    ]
    before = (finished / "checkpoints" / "best.ckpt").read_bytes()
    for result in told(cases):
        assert_stopped(result, signum)
    assert (finished / "checkpoints" / "best.ckpt").read_bytes() == before


IMPORT = """
import importlib.abc, os, sys
class Told(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["TOLD_AT"]:
            os.kill(os.getpid(), int(os.environ["TOLD"]))
sys.meta_path.insert(0, Told())
"""


def told_in_an_import(folder: Path, module: str, signum: int, *args: str) -> None:
    (folder / "sitecustomize.py").write_text(IMPORT)
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *args],
        cwd=ROOT,
        env=ENV | {"PYTHONPATH": path, "TOLD_AT": module, "TOLD": str(int(signum))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
    )
    assert_stopped((done.returncode, done.stdout), signum)


@pytest.mark.parametrize("command", ["train.py", "sample.py", "evaluate.py", "compare.py"])
def test_a_command_is_told_while_it_is_imported(command: str, tmp_path: Path) -> None:
    told_in_an_import(tmp_path, "gdl.commands.entry", INT, command)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [TERM, INT])
@pytest.mark.parametrize(
    "module", ["hydra", "omegaconf.errors", "torch", "torch.nn", "lightning.pytorch"]
)
def test_training_is_told_while_libraries_are_imported(
    module: str, signum: int, tmp_path: Path
) -> None:
    run = ["train", *QUICK, f"hydra.run.dir={tmp_path}/run"]
    told_in_an_import(tmp_path, module, signum, "-m", "gdl", *run)


def test_outside_of_commands_the_handlers_are_put_back_after_training() -> None:
    before = [signal.getsignal(s) for s in (TERM, INT, signal.SIGUSR1)]
    for _ in range(2):
        stopping.finish_step_first()
        assert stopping.noted() == 0
        os.kill(os.getpid(), TERM)
        assert stopping.noted() == TERM
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(stopping.Interrupted) as e:
            os.kill(os.getpid(), INT)
        assert e.value.code == 130
        stopping.stop_at_once()
        stopping._state.signum = 0  # no later test was told to stop
        assert [signal.getsignal(s) for s in (TERM, INT, signal.SIGUSR1)] == before


def test_an_interruption_comes_back_from_a_worker_as_it_was() -> None:
    back = pickle.loads(pickle.dumps(stopping.Interrupted(TERM, saved=True)))
    assert (back.code, back.signum, back.saved) == (143, TERM, True)


@pytest.mark.slow
def test_a_job_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    args = [*QUICK, "trainer.max_epochs=10000", f"hydra.run.dir={tmp_path}/run"]
    code = "import os, subprocess, sys; os.environ['GDL_PARENT'] = str(os.getpid()); "
    code += (
        f"print(subprocess.Popen([sys.executable, 'train.py', *{args}]).pid, flush=True); input()"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=ENV,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    csv, deadline = tmp_path / "run" / "metrics.csv", time.monotonic() + 120
    while not csv.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    starter.kill()
    starter.wait()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert Run(tmp_path / "run").has_checkpoint


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("try:\n  os.kill(os.getpid(), {0})\n except BaseException: pass", "."),
        ("atexit.register(os.kill, os.getpid(), {0})", ", when all was done."),
    ],
    ids=["swallowed", "at exit"],
)
@pytest.mark.parametrize("signum", [TERM, INT])
def test_a_signal_is_heard_where_python_ignores_exceptions(
    body: str, sentence: str, signum: signal.Signals
) -> None:
    code = "import atexit, os\nfrom gdl.stopping import told_to_stop\nwith told_to_stop():\n "
    done = subprocess.run(
        [sys.executable, "-c", code + body.format(int(signum))],
        env=ENV,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 128 + signum
    assert done.stderr == f"stopped by {signum.name}{sentence}\n"
