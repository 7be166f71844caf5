"""What arrives in Weights & Biases, read back with its own reader."""

import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from gdl.errors import GdlError
from gdl.files import is_whole_archive
from gdl.runs.directory import wandb_facts
from gdl.tracking import add_numbers
from gdl.tracking.metrics_csv import MetricsCSV
from gdl.tracking.wandb_logger import DetachedWandb, keep_explorer, open_wandb_logger
from gdl.tracking.wandb_service import resolve_mode, start_run, wandb_logged_in

ROOT = Path(__file__).resolve().parent.parent


def leet(path, *options):
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if "no such command" in (done.stderr + done.stdout).lower():
        pytest.skip("this wandb has no `wandb leet inspect`")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wandb") / "run"
    options = ["trainer.max_epochs=3", "trainer.log_every_n_steps=10", "model=vae"]
    options += ["callbacks.images.every_n_epochs=3", f"hydra.run.dir={folder}"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    # no key, no mode: gdl has to find out by itself that it is offline, without a prompt
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        env.pop(name, None)
    env["HOME"] = str(folder.parent)
    command = [sys.executable, str(ROOT / "train.py"), *options]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=env,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    (log,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    assert f"wandb sync {log.parent}" in done.stdout.replace("\n", "")
    return folder, log


def test_terms_images_and_best_values_arrive(run):
    folder, log = run
    records = [json.loads(line) for line in leet(log).splitlines()]
    history = [r["history"]["item"] for r in records if r["type"] == "history"]
    seen = set().union(*history)
    for stage in ("train", "val"):
        for term in ("loss", "nll", "elbo", "rate", "distortion", "bpd"):
            assert f"{stage}/{term}" in seen
    assert {"lr", "grad_norm", "images_per_second", "test/bpd"} <= seen
    assert {"images/samples.count", "images/reconstructions.count"} <= seen
    steps = [h["trainer/global_step"] for h in history if "train/loss" in h]
    assert steps == sorted(steps)
    assert len(steps) >= 6
    for grid in [h for h in history if "images/samples.count" in h]:
        assert grid["images/samples.count"] == 1, "a grid is one picture, not many files"
        (picture,) = grid["images/samples.filenames"]
        assert (log.parent / "files" / picture).is_file()
    summary = json.loads(leet(log, "--summary"))["summary"]
    values = [h["val/nll"] for h in history if "val/nll" in h]
    assert summary["val/nll"]["min"] == min(values)
    elbos = [h["val/elbo"] for h in history if "val/elbo" in h]
    assert summary["val/elbo"]["max"] == max(elbos)
    final = json.loads((folder / "metrics.json").read_text())
    assert summary["test/nll"] == pytest.approx(final["test/nll"])


def test_the_whole_configuration_arrives(run):
    folder, log = run
    config = json.loads(leet(log, "--summary"))["config"]
    assert config["model"]["latent_dim"] == 32
    assert config["model"]["shape"] == [1, 8, 8], "interpolations are resolved"
    assert config["data"]["_target_"] == "gdl.data.Digits"
    assert config["run_dir"] == str(folder)
    assert "git_commit" in config
    assert config["choices"]["model"] == "vae"


def test_each_job_of_a_sweep_is_a_run_of_one_group(tmp_path):
    options = ["-m", "seed=0,1", "trainer=debug", f"hydra.sweep.dir={tmp_path}"]
    options += ["logger.wandb.entity=mine", "logger.wandb.log_model=true"]
    options += ["logger.wandb.explorer=true"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    env |= {"WANDB_PROJECT": "theirs", "WANDB_ENTITY": "theirs", "WANDB_TAGS": "a,b"}
    env |= {"WANDB_NOTES": "a note", "WANDB_RUN_ID": "one-for-all"}
    command = [sys.executable, str(ROOT / "train.py"), *options]
    subprocess.run(command, capture_output=True, cwd=ROOT, env=env, timeout=240, check=True)
    logs = list(tmp_path.glob("*/wandb/offline-run-*/run-*.wandb"))
    records = [json.loads(line) for log in logs for line in leet(log).splitlines()]
    runs = [r["run"] for r in records if r["type"] == "run"]
    assert len({run["run_id"] for run in runs}) == 2
    assert {(run["run_group"], run["job_type"]) for run in runs} == {(tmp_path.name, "sweep")}
    assert {run["display_name"] for run in runs} == {f"vae-digits-seed{k}" for k in (0, 1)}
    for run in runs:  # the command line, then W&B's environment, then gdl's defaults
        assert (run["entity"], run["project"], run["notes"]) == ("mine", "theirs", "a note")
        assert run["tags"] == ["a", "b"]
    artifacts = [r["artifact"] for r in records if r["type"] == "artifact"]
    models = [a for a in artifacts if a["type"] == "model"]
    assert {m["name"] for m in models} == {f"model-{run['run_id']}" for run in runs}
    for model in models:
        (file,) = model["manifest"]["contents"]
        best = (
            next(tmp_path.glob(f"*/wandb/*{model['run_id']}")).parents[1] / "checkpoints/best.ckpt"
        )
        assert (file["path"], int(file["size"])) == ("best.ckpt", best.stat().st_size)
    pages = [a for a in artifacts if a["type"] == "explorer"]
    assert {p["name"] for p in pages} == {f"explorer-{run['run_id']}" for run in runs}
    panels = [r["history"]["item"] for r in records if r["type"] == "history"]
    panels = [item for item in panels if item.get("explorer._type") == "html-file"]
    for page, panel in zip(pages, panels, strict=True):
        (file,) = page["manifest"]["contents"]
        assert file["path"] == "explorer.html"
        assert set(page["aliases"]) == {"best", "latest"}
        folder = next(tmp_path.glob(f"*/wandb/*{page['name'].removeprefix('explorer-')}"))
        own = (folder.parents[1] / "explorer.html").read_bytes()
        assert (folder / "files" / panel["explorer.path"]).read_bytes() == own
        assert int(file["size"]) == len(own)
    losses = [r for r in records if r["type"] == "history" and "test/nll" in r["history"]["item"]]
    assert len(losses) == 2, "each run has its own final numbers"


VARIABLES = {
    "WANDB_PROJECT": "project",
    "WANDB_ENTITY": "entity",
    "WANDB_TAGS": "tags",
    "WANDB_RUN_GROUP": "group",
    "WANDB_NAME": "name",
    "WANDB_NOTES": "notes",
    "WANDB_JOB_TYPE": "job_type",
    "WANDB_DIR": "dir",
    "WANDB_RUN_ID": "id",
    "WANDB_RESUME": "resume",
}
"""The environment of W&B, and what `wandb.init` calls the same."""


@pytest.fixture
def started(monkeypatch):
    """Start runs without W&B; see what it would be given."""
    import wandb

    def start(options, defaults, **environment):
        settings = wandb.Settings()
        settings.update_from_env_vars(environment)
        monkeypatch.setattr(wandb, "setup", lambda: Mock(settings=settings))
        monkeypatch.setattr(wandb, "init", lambda **given: given)
        return start_run(resolve_mode("auto"), options, defaults)

    return start


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_command_line_wins_over_the_environment_and_that_over_defaults(variable, started):
    key = VARIABLES[variable]
    own, value = {key: "default"}, "must" if key == "resume" else "theirs"
    assert started({}, own)[key] == "default"
    assert started({key: None}, own)[key] == "default"
    assert key not in started({key: None}, own, **{variable: value}), "W&B reads its own variable"
    assert started({key: "mine"}, own, **{variable: value})[key] == "mine"
    others = {k: "default" for k in VARIABLES.values() if k != key}
    assert started({}, own | others, **{variable: value}).items() >= others.items()


@pytest.mark.parametrize(
    ("variable", "mode", "expected"),
    [
        (None, "auto", "offline"),
        ("online", "auto", "online"),
        ("dryrun", "auto", "offline"),
        ("disabled", "auto", "disabled"),
        ("disabled", "offline", "offline"),
        ("online", "disabled", "disabled"),
    ],
)
def test_the_mode_is_the_command_lines_then_the_environments(
    variable, mode, expected, started, monkeypatch, tmp_path
):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    started({}, {}, **({} if variable is None else {"WANDB_MODE": variable}))
    assert resolve_mode(mode) == expected
    with pytest.raises(GdlError, match="use auto, online, offline or disabled"):
        resolve_mode("of line")
    if expected == "disabled":
        assert open_wandb_logger(str(tmp_path / "run"), mode=mode) is None
        assert not (tmp_path / "run").exists()


def test_numbers_of_evaluate_arrive_in_the_same_run(run):
    folder, log = run
    env = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    command = [sys.executable, str(ROOT / "evaluate.py"), f"run={folder}", "measure=iwae"]
    options = {"capture_output": True, "text": True, "cwd": ROOT, "timeout": 240, "check": True}
    done = subprocess.run([*command, "measure.k=3"], env=env, **options)
    (later,) = set(folder.glob("wandb/offline-run-*/run-*.wandb")) - {log}
    assert f"wandb sync {later.parent}" in done.stdout
    found = json.loads(leet(later, "--summary"))
    runs = [
        json.loads(line)["run"]
        for x in (log, later)
        for line in leet(x).splitlines()
        if '"run"' in line
    ]
    assert len({(run["run_id"], run["project"]) for run in runs if "run_id" in run}) == 1
    final = json.loads((folder / "metrics.json").read_text())
    for key in ("iwae-3/nll", "iwae-3/nll_se", "test/nll", "params"):
        assert found["summary"][key] == pytest.approx(final[key])
    assert add_numbers(folder, {"id": "x", "mode": "disabled"}, final) is None
    assert len(list(folder.glob("wandb/offline-run-*"))) == 2


@pytest.mark.parametrize(
    "record",
    [
        {"wandb": {"id": {"_target_": "os.makedirs"}, "settings": {"_target_": "os.makedirs"}}},
        {"wandb": {"id": "${oc.env:HOME}", "dir": "/x", "mode": "online"}},
        {"wandb": [{"_target_": "os.makedirs"}], "wandb_id": ["x"]},
        {"wandb": "text", "wandb_id": {"_target_": "os.makedirs"}},
        {},
    ],
)
def test_nothing_is_built_from_the_record_of_a_strangers_run(record):
    assert wandb_facts(record) == {}
    assert wandb_facts({"wandb_id": "a"}) == {"id": "a"}
    known = {"id": "a", "project": "p", "entity": None, "group": "g"}
    assert wandb_facts({"wandb": known, "wandb_id": "b"}) == {
        "id": "a",
        "project": "p",
        "group": "g",
    }


def test_logging_in_is_found_without_asking(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "NETRC", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not wandb_logged_in()
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert wandb_logged_in()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not wandb_logged_in()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert wandb_logged_in()


def test_metrics_csv_takes_new_columns_and_a_cut_off_row(tmp_path):
    path = tmp_path / "metrics.csv"
    log = MetricsCSV(str(path))
    log.log_metrics({"a": 1.0}, step=1)
    log.log_metrics({"a": 2.0, "b": 5.0}, step=2)
    assert path.read_text().splitlines() == ["step,a,b", "1,1.0,", "2,2.0,5.0"]
    with path.open("a") as f:
        f.write("3,2.")  # killed while writing
    resumed = MetricsCSV(str(path))
    resumed.rewind(2)
    resumed.log_metrics({"a": 9.0, "b": 9.0}, step=3)
    assert path.read_text().splitlines() == ["step,a,b", "1,1.0,", "3,9.0,9.0"]
    MetricsCSV(str(path)).log_metrics({"c": 1.0}, step=5)
    assert path.read_text().splitlines() == ["step,a,b,c", "5,,,1.0"], "a run that starts over"


def service_of(pid: int) -> int | None:
    """Return the id of W&B's own process, which a process has started."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command, status = (path / "cmdline").read_bytes(), (path / "status").read_text()
        except OSError:
            continue
        if b"wandb-core" in command and f"PPid:\t{pid}\n" in status:
            return int(path.name)
    return None


KILLED = f"""
import os, signal, sys, time
from pathlib import Path
from gdl.tracking.wandb_logger import close, open_wandb_logger

{inspect.getsource(service_of)}

log = open_wandb_logger(sys.argv[1])
log.log_metrics(dict(a=1.0), step=0)
log.finalize("success")
os.kill(service_of(os.getpid()), signal.SIGKILL)
print("killed", flush=True)
for step in range(100):
    log.log_metrics(dict(a=2.0), step=step)
    time.sleep(0.01)
close([log])
print("went on")
"""


@pytest.mark.slow
def test_the_end_of_its_process_does_not_end_the_run(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    env = {**os.environ, "WANDB_MODE": "offline"}
    options = {"cwd": ROOT, "env": env, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run(command, **options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["killed", "went", "on"]
    assert done.stderr.count("the run goes on without it") == 1
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
@pytest.mark.parametrize("stop", [False, True], ids=["to the end", "interrupted"])
def test_a_run_ends_though_the_process_of_wandb_is_frozen(stop, tmp_path):
    options = ["model=fvsbn", "trainer.max_epochs=20", "trainer.log_every_n_steps=5"]
    options += ["logger.wandb.finish_seconds=3", f"hydra.run.dir={tmp_path}"]
    command = [sys.executable, str(ROOT / "train.py"), *options]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    run = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)
    frozen = None
    try:
        while not (tmp_path / "metrics.csv").is_file():
            assert run.poll() is None, "it ended before its first numbers"
            time.sleep(0.05)
        frozen = service_of(run.pid)
        assert frozen is not None
        os.kill(frozen, signal.SIGSTOP)
        if stop:
            run.send_signal(signal.SIGTERM)
        _, errors = run.communicate(timeout=240)
    finally:
        run.kill()
        if frozen is not None and Path(f"/proc/{frozen}").exists():
            os.kill(frozen, signal.SIGCONT)
            os.kill(frozen, signal.SIGKILL)
    saved = tmp_path / "checkpoints" / "last.ckpt"
    assert is_whole_archive(saved)
    assert run.returncode == (128 + signal.SIGTERM if stop else 0), errors
    assert errors.count("the run goes on without it") == 1, errors
    assert "Traceback" not in errors
    if not stop:
        assert "test/nll" in json.loads((tmp_path / "metrics.json").read_text())
        assert time.time() - (tmp_path / "metrics.json").stat().st_mtime < 60


class Told:
    """What a W&B run is given."""

    def __init__(self, tmp_path, keeps=True):
        self.log = DetachedWandb(Mock(), str(tmp_path), "gdl")
        self.log.keeps_explorer = keeps
        self.log._keep_explorer = Mock()


@pytest.mark.parametrize(
    "error",
    [
        GdlError("The page cannot run a Glow."),
        RuntimeError("two\nlines"),
        OSError(28, "No space left on device"),
        MemoryError(),
    ],
)
def test_a_page_that_cannot_be_written_is_one_warning(error, tmp_path, capsys):
    told = Told(tmp_path)
    keep_explorer([told.log], Mock(side_effect=error), {})
    told.log.finalize("success")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("warning: W&B gets no page of gdl explore. ")
    told.log._keep_explorer.assert_not_called()
    told.log.log_metrics({"a": 1.0})
    told.log.finalize("success")
    told.log.experiment.log.assert_called_once()


def test_a_page_is_written_only_where_a_run_wants_it(tmp_path):
    write = Mock(return_value=tmp_path / "explorer.html")
    told, other = Told(tmp_path), Told(tmp_path, keeps=False)
    keep_explorer([MetricsCSV(str(tmp_path / "m.csv")), other.log], write, {})
    write.assert_not_called()
    keep_explorer([other.log, told.log], write, {"test/nll": 1.0})
    told.log.finalize("success")
    told.log._keep_explorer.assert_called_once_with(write.return_value, {"test/nll": 1.0})
    other.log._keep_explorer.assert_not_called()


@pytest.mark.parametrize("key", ["log_model", "explorer"])
@pytest.mark.parametrize("value", ["yes", 1, None, 0.5, []])
def test_what_is_kept_is_asked_for_with_true_or_false(key, value, tmp_path):
    with pytest.raises(GdlError, match=f"logger.wandb.{key}=.* use true or false"):
        open_wandb_logger(str(tmp_path), mode="offline", **{key: value})
    assert not list(tmp_path.iterdir())


def test_a_full_queue_leaves_entries_out_instead_of_waiting(tmp_path, capsys):
    run, go_on = Mock(), threading.Event()
    run.log.side_effect = lambda *_, **__: go_on.wait(60)
    log = DetachedWandb(run, str(tmp_path), "gdl", size=2)
    start = time.monotonic()
    for step in range(10):
        log.log_metrics({"a": 2.0}, step=step)
    assert time.monotonic() - start < 5
    go_on.set()
    assert capsys.readouterr().err.count("does not keep up") == 1
