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
from gdl.comparison.entries import read_runs, select
from gdl.comparison.ranking import differs_in, pareto, ranked
from gdl.comparison.seeds import group_seeds
from gdl.comparison.tables import comparison_tables
from gdl.comparison.wandb_tables import place
from gdl.errors import GdlError
from gdl.runs.metrics import COSTS, data_identity, data_title

ROOT = Path(__file__).resolve().parent.parent

CONFIG = """
seed: {seed}
run_dir: ${{hydra:runtime.output_dir}}
data: {{seed: "${{seed}}", bits: 8}}
model: {{depth: {depth}, optimizer: {{lr: 0.001}}}}
logger: {{csv: {{path: {seed}.csv}}}}
"""

SIZES = {"train": 1300, "val": 200, "test": 297}
DIGITS = {"shape": [1, 8, 8], "levels": 17, **SIZES, "digest": "ab" * 32}
KNOWN = {f"data/{key}": value for key, value in DIGITS.items()}


def add_run(
    folder: Path, name: str, *, seed: int = 0, depth: int = 4, config="", **metrics
) -> Path:
    run = folder / name
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "config.yaml").write_text(CONFIG.format(seed=seed, depth=depth) + config)
    (run / "run.json").write_text("{}")
    numbers = {"model": "glow", "data": "digits", "kind": "dequant-1", "seed": seed, **KNOWN}
    if metrics:
        (run / "metrics.json").write_text(json.dumps(numbers | metrics))
    return run


def add_old_run(folder: Path, name: str, **metrics) -> Path:
    """Add a run whose record is older than digests."""
    run = add_run(folder, name, **metrics)
    kept = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps({k: kept[k] for k in kept if k not in KNOWN}))
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


@pytest.mark.parametrize("bounds", [(), ("iwae-5",), ("iwae-5", "iwae-50")])
def test_a_mean_over_seeds_is_of_one_kind_and_its_error_too(tmp_path, bounds):
    """The second run has every bound, the first one only some of them."""
    everything = {"iwae-5/bpd": 1.8, "iwae-50/bpd": 1.7, "test/bpd": 2.0, "iwae-5/bpd_se": 9.0}
    first = {k: v + 0.2 for k, v in everything.items() if k.partition("/")[0] in (*bounds, "test")}
    add_run(tmp_path, "a", seed=0, kind="bound", **first)
    add_run(tmp_path, "b", seed=1, kind="bound", **everything)
    (mean,) = group_seeds(read_runs([tmp_path])[0])
    kind = max(("bound", *bounds), key=len)
    at = "test" if kind == "bound" else kind
    assert mean.best == (pytest.approx(everything[f"{at}/bpd"] + 0.1), kind)
    assert mean.error == pytest.approx(0.1), "the standard error of two numbers 0.2 apart"


def test_facts_about_the_data_are_no_numbers_to_average(tmp_path):
    for seed in (0, 1):
        facts = {"data/verified": False, "data/bits": 5, "test/bpd": 1.0 + seed}
        facts["lucky"] = bool(seed)
        add_run(tmp_path, str(seed), seed=seed, **facts)
    (mean,) = group_seeds(read_runs([tmp_path])[0])
    assert mean.metrics["data/verified"] is False
    assert "lucky" not in mean.metrics, "there is no mean of yes and no"
    assert mean.metrics["data/bits"] == 5
    assert mean.data.startswith("digits (5 bits, copy with other checksums, ")


def test_a_diverged_seed_does_not_hide_the_others(tmp_path):
    for seed, bpd in enumerate([2.0, 2.2, float("nan")]):
        add_run(tmp_path, str(seed), seed=seed, **{"test/bpd": bpd})
    best, diverged = ranked(group_seeds(read_runs([tmp_path])[0]))
    assert (best.seeds, diverged.seeds) == ([0, 1], [2])
    assert best.best == (pytest.approx(2.1), "dequant-1")
    assert diverged.best == (None, "dequant-1")


OTHER = {
    "data": "mnist", "data/shape": [1, 4, 16], "data/levels": 16, "data/train": 1299,
    "data/val": 201, "data/test": 296, "data/digest": "cd" * 32, "data/bits": 5,
    "data/binarization": "static", "data/target": "rings", "data/verified": False,
}  # fmt: skip


@pytest.mark.parametrize("key", OTHER)
def test_only_runs_on_the_same_data_share_a_table_and_marks(tmp_path, key):
    cost = {"params": 10, "test/bpd": 2.0, "test/images": 290}
    add_run(tmp_path, "one", **cost)
    add_run(tmp_path, "same", depth=8, **{**cost, "params": 20})
    add_run(tmp_path, "other", **{**cost, "params": 30, key: OTHER[key]})
    for run in tmp_path.iterdir():  # all on the whole test set
        metrics = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(
            json.dumps(metrics | {"test/images": metrics["data/test"]})
        )
    entries = read_runs([tmp_path])[0]
    tables = comparison_tables(entries)
    assert sorted(len(t.rows) for t in tables) == [1, 2]
    assert tables[0].data != tables[1].data, "the names do not tell the data apart"
    assert {entries[i].name for i in pareto(entries, "params")} == {"one", "other"}


def test_runs_older_than_digests_keep_a_table_of_their_own_without_marks(tmp_path):
    add_run(tmp_path, "new", **{"test/bpd": 2.0, "params": 10})
    for name in ("old", "older"):
        add_old_run(tmp_path, name, **{"test/bpd": 1.0, "params": 5})
    tables = {t.data: t for t in comparison_tables(read_runs([tmp_path])[0])}
    known = next(name for name in tables if "unknown" not in name)
    assert tables.keys() == {known, "digits (unknown data)"}
    assert len(tables["digits (unknown data)"].rows) == 2
    assert "†" in str(tables[known].rows)
    assert "†" not in str(tables["digits (unknown data)"].rows)


def test_names_of_data_are_equal_for_equal_data_only():
    """All 2^n combinations of some changed fields: as many identities, and as many names."""
    fields = ["data", "data/levels", "data/train", "data/digest", "data/binarization"]
    found = []
    for bits in range(2 ** len(fields)):
        changed = {f: OTHER[f] for i, f in enumerate(fields) if bits >> i & 1}
        found.append({"data": "digits", **KNOWN, **changed})
    assert len({data_identity(m) for m in found}) == len({data_title(m) for m in found}) == 32


PARTS = {
    "fewer images": ({"test/images": 200}, ""),
    "no image": ({"test/images": 0}, ""),
    "recorded": ({"limited_by": "overfit_batches=2", "test/images": 297}, ""),
    "one batch": ({}, "limit_test_batches: 1"),
    "no batch": ({}, "limit_test_batches: 0"),
    "half": ({"test/images": 297}, "limit_test_batches: 0.5"),
    "overfit": ({}, "overfit_batches: 3"),
    "overfit a share": ({"test/images": 297}, "overfit_batches: 0.1"),
    "fast": ({}, "fast_dev_run: true"),
    "fast 2": ({}, "fast_dev_run: 2"),
}
WHOLES = {
    "counted": ({"test/images": 297}, ""),
    "nothing is known": ({}, ""),
    "limits that do not limit": (
        {"test/images": 297, "limited_by": ""},
        "limit_test_batches: 1.0, overfit_batches: 0.0, fast_dev_run: false",
    ),
    "less training": ({}, "limit_train_batches: 4, limit_val_batches: 1, max_steps: 5"),
}


@pytest.mark.parametrize("name", [*PARTS, *WHOLES])
def test_a_test_on_a_part_of_the_images_is_in_no_table_and_the_list_says_why(tmp_path, name):
    metrics, trainer = (PARTS | WHOLES)[name]
    config = f"trainer: {{{trainer}}}\n"
    numbers = {"test/bpd": 1.0, "params": 1, **metrics}
    add_run(tmp_path, "run", depth=8, config=config, **numbers)
    add_run(tmp_path, "whole", **{"test/bpd": 2.0, "params": 5, "test/images": 297})
    entries, left_out = read_runs([tmp_path])
    (table,) = comparison_tables(group_seeds(entries))
    assert len(table.rows) == (2 if name in WHOLES else 1)
    assert [run.path.name for run in left_out] == ([] if name in WHOLES else ["run"])
    if name in PARTS:
        assert "5†" in table.rows[0], "it has won a mark"
        assert re.search("ran with|tested on", left_out[0].detail)


DAMAGE = {
    "metrics.json": ["", "[1]", "{", '{"model": 3}', '{"model": "a", "test/bpd": "low"}',
                     '{"model": "a", "params": []}', '{"model": "a", "seed": 1.5}', "\0", "3"],
    "run.json": ["[", "\0\0"],
    ".hydra/config.yaml": ["[1, 2", "- 1", "a: &x [*x]", "model: {a: [}", "!!python/name:os.x"],
}  # fmt: skip


@pytest.mark.parametrize("file", DAMAGE)
def test_a_damaged_run_is_left_out_and_named(tmp_path, file):
    add_run(tmp_path, "good", **{"test/bpd": 1.0})
    for i, text in enumerate(DAMAGE[file]):
        (add_run(tmp_path, f"bad{i}", **{"test/bpd": 1.0}) / file).write_text(text)
    (add_run(tmp_path, "bytes", **{"test/bpd": 1.0}) / file).write_bytes(bytes(range(256)))
    entries, left_out = read_runs([tmp_path])
    bad = {f"bad{i}" for i in range(len(DAMAGE[file]))} | {"bytes"}
    assert {e.name for e in entries} | {run.path.name for run in left_out} == bad | {"good"}
    assert {run.path.name for run in left_out} == bad
    comparison_tables(group_seeds(entries))


def test_the_tightest_number_stands_with_its_kind(tmp_path):
    bounds = {"test/bpd": 2.1, "dequant-16/bpd": 2.0, "dequant-16/bpd_se": 0.1}
    add_run(tmp_path, "bounds", **bounds)
    add_run(tmp_path, "ae", model="ae", kind=None, **{"test/mse": 0.1})
    toy = {"data": "toy2d", "data/levels": None}
    add_run(tmp_path, "toy", kind="exact", **toy, **{"test/nll": -2.5})
    add_run(tmp_path, "nan", **{"test/bpd": float("nan"), "dequant-16/bpd": float("inf")})
    found = {e.name: e.best for e in read_runs([tmp_path])[0]}
    assert found == {
        "bounds": (2.0, "dequant-16"),
        "ae": (None, "no density"),
        "toy": (-2.5, "exact"),
        "nan": (None, "dequant-1"),
    }


def test_filters_take_keys_of_the_results_and_of_the_configuration(tmp_path):
    for depth in (2, 4, 8):
        config = "network: {hidden: [20, 30]}\n" if depth == 2 else ""
        add_run(tmp_path, f"d{depth}", depth=depth, config=config, **{"test/bpd": 1.0})
    entries, _ = read_runs([tmp_path])
    chosen = select(entries, ["model=glow,nice", "model.depth=4,8"])
    assert {e.name for e in chosen} == {"d4", "d8"}
    assert select(entries, ["model=vae"]) == []
    assert [e.name for e in select(entries, ["network.hidden=[20,30]"])] == ["d2"]
    assert select(entries, [f"run={entries[1].id}"]) == [entries[1]]
    assert len({e.id for e in entries}) == 3
    assert all(re.fullmatch("[0-9a-f]{4,6}", e.id) for e in entries)
    with pytest.raises(GdlError, match=r"No run here has model\.detph"):
        select(entries, ["model.detph=4"])


def differing(folder: Path, *configs: str, models: str | None = None) -> list[str]:
    """Return what runs with these configurations differ in; models has a letter for each."""
    for i, config in enumerate(configs):
        model = {"model": models[i]} if models else {}
        add_run(folder, f"{i}", config=config, **{"test/bpd": 1.0}, **model)
    entries, _ = read_runs([folder])
    return differs_in(sorted(entries, key=lambda e: e.name))


def test_only_what_differs_from_the_commonest_configuration_is_named(tmp_path):
    found = differing(tmp_path, *(f"trainer: {{max_epochs: {n}}}" for n in (5, 5, 7)))
    assert found == ["", "", "max_epochs=7"]


def test_where_no_value_prevails_all_are_named(tmp_path):
    found = differing(tmp_path, "trainer: {max_epochs: 5}", "trainer: {max_epochs: 7}")
    assert found == ["max_epochs=5", "max_epochs=7"]


def test_training_is_compared_across_models_and_architecture_within_one(tmp_path):
    nets = ["width: 5", "width: 5", "width: 6", "layers: 3"]
    epochs = [1, 1, 1, 2]
    configs = [f"net: {{n: {e}}}\ntrainer: {{n: {e}}}" for e in epochs]
    for i, (net, config) in enumerate(zip(nets, configs, strict=True)):
        run = add_run(tmp_path, f"{i}", config=config, model="aaab"[i], **{"test/bpd": 1.0})
        file = run / ".hydra" / "config.yaml"
        text = file.read_text().replace("depth: 4", net)
        file.write_text(text.replace("lr: 0.001", "lr: 0.1") if i == 3 else text)
    entries = sorted(read_runs([tmp_path])[0], key=lambda e: e.name)
    assert differs_in(entries) == ["", "", "width=6", "lr=0.1 net.n=2 trainer.n=2"]


def test_references_are_resolved_and_what_follows_another_setting_is_not_repeated(tmp_path):
    config = """
network: {{encoder: {{hidden: {0}}}, decoder: {{hidden: "${{network.encoder.hidden}}"}}}}
folder: {{size: 3, shape: ["${{..size}}", "${{.0}}"], levels: "${{levels:${{.size}}}}"}}
a: "${{c}}"
c: "${{a}}"
b: "x${{b}}${{b}}"
where: ${{oc.env:HOME}}
"""
    found = differing(tmp_path, config.format("[5,6]"), config.format("[7]"))
    assert found == ["hidden=[5,6]", "hidden=[7]"]
    settings = read_runs([tmp_path])[0][0].settings
    assert settings.values["folder.shape"][0] == 3
    assert settings.values["folder.levels"] == 8
    assert settings.values["network.decoder.hidden"] == settings.values["network.encoder.hidden"]
    assert settings.values["where"] == "<oc.env:HOME>", "the reader's environment is not the run's"
    assert "${" not in str(settings.values)
    assert len(settings.values["b"]) < 5000


def test_the_front_holds_what_nothing_beats_at_its_cost_or_less(tmp_path):
    runs = {"small": (3.0, 10), "good": (2.0, 20), "worse": (2.5, 20), "big": (2.0, 30)}
    for name, (bpd, params) in runs.items():
        add_run(tmp_path, name, **{"test/bpd": bpd, "params": params})
    add_run(tmp_path, "other data", data="mnist", **{"test/bpd": 9.0, "params": 99})
    entries, _ = read_runs([tmp_path])
    assert {entries[i].name for i in pareto(entries, "params")} == {"small", "good", "other data"}


def test_no_run_is_called_better_by_the_time_of_a_sample(tmp_path):
    add_run(tmp_path, "run", **{"test/bpd": 1.0}, **dict.fromkeys(COSTS, 5.0))
    (table,) = comparison_tables(read_runs([tmp_path])[0])
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert [cells[name] for name in COSTS.values()] == ["5†", "5†", "5"]


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
    tables = {f.name.partition(" ")[0]: json.loads(f.read_text()) for f in files}
    assert {name: len(t["data"]) for name, t in tables.items()} == {"digits": 2, "toy2d": 1}
    lines = [set(re.split("  +", line.strip())) for line in printed.splitlines()]
    for table in tables.values():
        *cells, path = zip(*table["data"], strict=True)
        assert all(Path(p).is_dir() for p in path)
        for row in zip(*cells, strict=True):
            assert any({*row} - {"-", ""} <= line for line in lines), row
    artifacts = [r["artifact"] for r in records if r["type"] == "artifact"]
    (kept,) = (a for a in artifacts if a["type"] == "comparison")
    assert kept["name"] == "comparison-mine"
    contents = {c["path"] for c in kept["manifest"]["contents"]}
    assert {name.partition(" ")[0] for name in contents} == {"digits", "toy2d"}
    (logged,) = (r["history"]["item"] for r in records if r["type"] == "history")
    counts = [v for k, v in logged.items() if re.fullmatch(r"comparison/digits \(\w+\)\.nrows", k)]
    assert counts == [2]


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
    assert "None of the 0 runs with results" in found.stderr
