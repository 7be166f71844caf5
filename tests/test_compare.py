"""The board of many runs, from run directories made here."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gdl.cli import with_filters
from gdl.compare import differences, group_seeds, pareto, read_runs, select
from gdl.errors import GdlError

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


def test_the_command_prints_a_board_and_names_what_is_unfinished(tmp_path):
    add_run(tmp_path, "done", **{"test/bpd": 2.125, "params": 1234})
    add_run(tmp_path, "not done")
    root = Path(__file__).resolve().parent.parent

    def compare(*args: str) -> subprocess.CompletedProcess[str]:
        command, wide = [sys.executable, "compare.py", str(tmp_path), *args], {"COLUMNS": "200"}
        return subprocess.run(
            command, cwd=root, env=os.environ | wide, capture_output=True, text=True, timeout=60
        )

    found = compare("model=glow")
    assert found.returncode == 0, found.stderr
    assert all(s in found.stdout for s in ("2.1250", "dequant-1", "1,234†", "not done"))
    shutil.rmtree(tmp_path / "done")
    found = compare()
    assert found.returncode == 1
    assert "None of the 0 finished runs" in found.stderr
