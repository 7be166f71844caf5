"""Tables of many runs, from run directories made here."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gdl.commands.overrides import with_filters
from gdl.comparison.entries import differences, group_seeds, pareto, read_runs, select
from gdl.comparison.wandb_tables import place
from gdl.errors import GdlError

ROOT = Path(__file__).resolve().parent.parent

CONFIG = """
seed: {seed}
run_dir: ${{hydra:runtime.output_dir}}
data: {{seed: "${{seed}}", bits: 8}}
model: {{depth: {depth}, optimizer: {{lr: 0.001}}}}
logger: {{csv: {{path: {seed}.csv}}}}
"""


def add_run(folder: Path, name: str, *, seed: int = 0, depth: int = 4, **metrics) -> Path:
    run = folder / name
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "config.yaml").write_text(CONFIG.format(seed=seed, depth=depth))
    (run / "run.json").write_text("{}")
    numbers = {"model": "glow", "data": "digits", "kind": "dequant-1", "seed": seed, **metrics}
    if metrics:
        (run / "metrics.json").write_text(json.dumps(numbers))
    return run


def test_runs_that_differ_in_the_seed_only_become_a_mean_with_its_standard_error(tmp_path):
    for seed, bpd in enumerate([2.0, 2.2, 2.4]):
        add_run(tmp_path, f"glow{seed}", seed=seed, **{"test/bpd": bpd, "params": 10})
    add_run(tmp_path, "again", seed=2, **{"test/bpd": 2.4, "params": 10})
    add_run(tmp_path, "deeper", depth=8, **{"test/bpd": 1.9, "params": 20})
    entries, _ = read_runs([tmp_path])
    assert len(entries) == 5
    mean, alone = sorted(group_seeds(entries), key=lambda e: -len(e.seeds))
    assert (mean.seeds, alone.seeds) == ([0, 1, 2], [0])
    assert mean.best == (pytest.approx(2.2), "dequant-1")
    assert (mean.spread, alone.spread) == (pytest.approx(0.2 / 3**0.5), None)
    assert mean.metrics["params"] == 10


def test_the_tightest_number_stands_with_its_kind(tmp_path):
    bounds = {"test/bpd": 2.1, "dequant-16/bpd": 2.0, "dequant-16/bpd_se": 0.1}
    add_run(tmp_path, "bounds", **bounds)
    add_run(tmp_path, "ae", model="ae", kind=None, **{"test/mse": 0.1})
    add_run(tmp_path, "toy", data="toy2d", kind="exact", **{"test/nll": 2.5})
    found = {e.name: e.best for e in read_runs([tmp_path])[0]}
    assert found == {
        "bounds": (2.0, "dequant-16"),
        "ae": (None, "no density"),
        "toy": (2.5, "exact"),
    }


def test_filters_take_keys_of_the_results_and_of_the_configuration(tmp_path):
    for depth in (2, 4, 8):
        add_run(tmp_path, f"d{depth}", depth=depth, **{"test/bpd": 1.0})
    entries, _ = read_runs([tmp_path])
    chosen = select(entries, ["model=glow,nice", "model.depth=4,8"])
    assert {e.name for e in chosen} == {"d4", "d8"}
    assert select(entries, ["model=vae"]) == []
    with pytest.raises(GdlError, match=r"No run here has model\.detph"):
        select(entries, ["model.detph=4"])


def test_only_what_differs_from_the_commonest_configuration_is_named(tmp_path):
    for name, depth in (("a", 4), ("b", 4), ("c", 8)):
        add_run(tmp_path, name, depth=depth, **{"test/bpd": 1.0})
    entries, _ = read_runs([tmp_path])
    entries.sort(key=lambda e: e.name)
    assert differences(entries) == ["", "", "depth=8"]


def test_the_front_holds_what_nothing_beats_at_its_cost_or_less(tmp_path):
    runs = {"small": (3.0, 10), "good": (2.0, 20), "worse": (2.5, 20), "big": (2.0, 30)}
    for name, (bpd, params) in runs.items():
        add_run(tmp_path, name, **{"test/bpd": bpd, "params": params})
    add_run(tmp_path, "other data", data="mnist", **{"test/bpd": 9.0, "params": 99})
    entries, _ = read_runs([tmp_path])
    assert {entries[i].name for i in pareto(entries, "params")} == {"small", "good", "other data"}


def test_folders_and_filters_become_overrides():
    args = ["runs", "model=glow", "group_seeds=false", "data.bits=5,8"]
    assert with_filters(args, "compare") == [
        "group_seeds=false",
        "folders=['runs']",
        "where=['model=glow','data.bits=5,8']",
    ]


def test_a_group_of_wandb_is_what_all_runs_are_in(tmp_path):
    one, two = (add_run(tmp_path / "sweeps" / "lr", f"lr={lr}") for lr in (1, 2))
    alone = add_run(tmp_path / "digits", "glow")
    for job in (one, two):
        (job / "status.json").write_text('{"state": "done"}')
    assert place([one, two])["group"] == "lr"
    assert place([one, alone]) == {"group": None, "project": None, "entity": None}
    config = alone / ".hydra" / "config.yaml"
    config.write_text(config.read_text() + "logger: {wandb: {project: p, group: lr}}\n")
    assert place([one, alone])["group"] == "lr"
    assert place([alone])["project"] == "p"


def log_to_wandb(folder: Path, **env: str) -> tuple[str, list[dict]]:
    """Log the tables of three jobs of a sweep; return what is printed and the records of W&B."""
    pytest.importorskip("wandb")
    sweep = folder / "runs" / "mine"
    for depth, data in ((4, "digits"), (8, "digits"), (4, "toy2d")):
        nll = {"test/nll" if data == "toy2d" else "test/bpd": 1 + depth / 8}
        run = add_run(sweep, f"{data},depth={depth}", depth=depth, data=data, **nll)
        (run / "status.json").write_text('{"state": "done"}')
    command = [sys.executable, "compare.py", str(folder / "runs"), "wandb=true"]
    env = {**os.environ, "COLUMNS": "200", "WANDB_DATA_DIR": str(folder), **env}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (log,) = (folder / "runs" / "wandb").glob("offline-run-*/run-*.wandb")
    assert done.stdout.endswith(f"W&B:        offline; wandb sync {log.parent}\n")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout + done.stderr, [json.loads(line) for line in lines.stdout.splitlines()]


def test_tables_in_wandb_are_what_is_printed(tmp_path):
    printed, records = log_to_wandb(tmp_path, WANDB_MODE="offline")
    (run,) = (r["run"] for r in records if r["type"] == "run")
    assert (run["run_group"], run["job_type"], run["project"]) == ("mine", "compare", "gdl")
    assert len(run["config"]["update"]["runs"]) == 3
    files = (tmp_path / "runs" / "wandb").glob("*/files/media/table/comparison/*.json")
    tables = {f.name.partition("_")[0]: json.loads(f.read_text()) for f in files}
    assert {name: len(t["data"]) for name, t in tables.items()} == {"digits": 2, "toy2d": 1}
    lines = [[c.strip() for c in re.split("[│┃]", line)[1:-1]] for line in printed.splitlines()]
    for table in tables.values():
        assert all(row in lines for row in [table["columns"], *table["data"]])
    artifacts = [r["artifact"] for r in records if r["type"] == "artifact"]
    (kept,) = (a for a in artifacts if a["type"] == "comparison")
    assert kept["name"] == "comparison-mine"
    contents = {c["path"] for c in kept["manifest"]["contents"]}
    assert contents == {"digits.table.json", "toy2d.table.json"}
    (logged,) = (r["history"]["item"] for r in records if r["type"] == "history")
    assert logged["comparison/digits.nrows"] == 2


@pytest.mark.slow
def test_tables_for_a_server_that_does_not_answer_is_kept(tmp_path):
    env = {"WANDB_API_KEY": 40 * "a", "WANDB_BASE_URL": "http://127.0.0.1:9"}
    printed, records = log_to_wandb(tmp_path, WANDB_MODE="online", **env)
    assert printed.count("warning: W&B cannot be reached") == 1
    assert "Traceback" not in printed
    assert any(r["type"] == "exit" and r["exit"].get("exit_code", 0) == 0 for r in records)


def test_the_command_prints_tables_and_names_what_is_unfinished(tmp_path):
    add_run(tmp_path, "done", **{"test/bpd": 2.125, "params": 1234})
    add_run(tmp_path, "not done")

    def compare(*args: str) -> subprocess.CompletedProcess[str]:
        command, wide = [sys.executable, "compare.py", str(tmp_path), *args], {"COLUMNS": "200"}
        return subprocess.run(
            command, cwd=ROOT, env=os.environ | wide, capture_output=True, text=True, timeout=60
        )

    found = compare("model=glow")
    assert found.returncode == 0, found.stderr
    assert all(s in found.stdout for s in ("2.1250", "dequant-1", "1,234†", "not done"))
    shutil.rmtree(tmp_path / "done")
    found = compare()
    assert found.returncode == 1
    assert "None of the 0 finished runs" in found.stderr
