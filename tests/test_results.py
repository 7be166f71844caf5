"""RESULTS.md is what the committed records say, and README.md claims nothing else."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gdl.comparison.entries import read_runs
from gdl.comparison.results import add_records, render
from gdl.errors import GdlError
from gdl.runs.directory import Run

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "results"


def test_results_are_generated_from_the_records() -> None:
    assert (ROOT / "RESULTS.md").read_text() == render(RECORDS), (
        "python compare.py ... results=true"
    )


@pytest.mark.parametrize("file", sorted(RECORDS.glob("*.json")), ids=lambda f: f.stem)
def test_a_record_says_where_its_numbers_are_from(file: Path) -> None:
    record = json.loads(file.read_text())
    if file.stem == "published":
        assert all(row["source"] for row in record["rows"])
        return
    assert {"command", "commit", "seed", "hardware"} < record.keys()
    assert re.fullmatch("[0-9a-f]{7,40}", record["commit"])
    assert record["hardware"].keys() >= {"cpu", "cores", "python", "torch"}
    assert ("metrics" in record and "minutes" in record) or "rows" in record
    command = re.sub(r"benchmarks/|experiment=\w+/", "", record["command"])
    assert "/" not in command, "no path of one machine"


def test_numbers_in_the_readme_are_recorded() -> None:
    text = (ROOT / "README.md").read_text()
    # code, and the table that test_tables.py compares with the records
    generated = "<!-- models:begin -->.*<!-- models:end -->"
    text = re.sub(f"```.*?```|`[^`]*`|{generated}", "", text, flags=re.DOTALL)
    records = "".join(f.read_text() for f in RECORDS.glob("*.json"))
    for number in re.findall(r"\d+\.\d+", text.replace("Python >= 3.11", "")):
        assert number in records, f"{number} in README.md is in no record"


def make_run(folder: Path, commit: str) -> Path:
    run = Run(folder)
    folder.mkdir(parents=True)
    hardware = {"cpu": "C", "cores": 2, "threads": 1, "python": "3.11.7", "torch": "2.14.1"}
    commands = [
        "python /a/b/train.py model=nade hydra.run.dir=/a/c logger=csv",
        "train.py resume=x",
    ]
    commands = [*commands[:1], f"python {commands[1]}", "python evaluate.py run=/a/c k=5"]
    facts = {"git_commit": commit, "hardware": hardware, "commands": commands}
    run.record.write_text(json.dumps(facts))
    numbers = {"test/nll": 12.345678, "test/bpd": 0.25, "train_seconds": 90.0, "seed": 3}
    run.merge_metrics({"model": "nade", "data": "digits", "kind": "exact", "params": 7, **numbers})
    return folder


def test_a_run_becomes_a_record_and_a_row(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "one", "abcdef123456")
    entries, _ = read_runs([tmp_path / "runs"])
    (file,) = add_records(entries, tmp_path / "results")
    record = json.loads(file.read_text())
    assert record["command"] == "python train.py model=nade && python evaluate.py run=... k=5"
    assert (record["seed"], record["minutes"]) == (3, 1.5)
    command = f"`{record['command']}`"
    row = f"| nade | 0.2500 | 12.35 | exact | 7 | 1.5 | {command} | abcdef123456, A |"
    assert row in render(tmp_path / "results")


def results_of(tmp_path: Path, *metrics: dict) -> str:
    """Return RESULTS.md of records made here, whose models are a, b, c, ..."""
    (tmp_path / "results").mkdir()
    for name, numbers in zip("abcdefgh", metrics, strict=False):
        record = {"command": f"python train.py {name}", "commit": "abcdef1", "seed": 0, "minutes": 1,
                  "hardware": {"cpu": "C", "cores": 2, "python": "3.11", "torch": "2"}}  # fmt: skip
        record["metrics"] = {"model": name, "data": "d", "kind": "bound", **numbers}
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(record))
    return render(tmp_path / "results")


@pytest.mark.parametrize(
    "order",
    [
        [{"test/nll": -5.5}, {"test/nll": -3.0}, {"test/nll": 0.0}, {"test/nll": 7.0}, {}],
        [{"iwae-9/bpd": 1.0, "test/bpd": 3.0}, {"test/bpd": 2.0}, {"iwae-5/bpd": 2.5}],
        [{"iwae-10/nll": 4.0, "iwae-2/nll": 6.0, "test/nll": 9.0}, {"test/nll": 5.0}],
        [{"dequant-9/nll": -9.0, "test/nll": 2.0}, {"test/nll": -8.0}, {"test/nll": None}],
        [{"test/bpd": 1.0, "test/nll": 90.0}, {"test/bpd": 2.0}, {"kind": None, "test/mse": 0.1}],
    ],
    ids=["negative", "tightest", "many bounds", "negative bound", "bits where all have them"],
)
def test_rows_are_sorted_by_their_tightest_number(tmp_path: Path, order) -> None:
    shuffled = order[1:] + order[:1]  # the models' names follow this order
    rows = re.findall(r"^\| ([a-h]) \|", results_of(tmp_path, *shuffled), re.MULTILINE)
    names = "abcdefgh"[: len(order)]
    assert rows == [names[-1], *names[:-1]]


def test_only_records_on_the_same_data_share_a_table(tmp_path: Path) -> None:
    known = {
        "data/shape": [1, 2, 2],
        "data/levels": 4,
        "data/train": 5,
        "data/val": 2,
        "data/test": 3,
    }
    bits, facts = {"test/bpd": 1.0}, lambda digest: known | {"data/digest": digest * 32}
    text = results_of(tmp_path, bits, bits | facts("ab"), bits | facts("cd"), bits | facts("ab"))
    tables = [set(re.findall(r"^\| ([a-d]) \|", t, re.MULTILINE)) for t in text.split("## ")[1:]]
    assert sorted(map(sorted, tables)) == [["a"], ["b", "d"], ["c"]]
    titles = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert len(set(titles)) == 3
    assert "d (unknown data)" in titles
    assert text.count("1x2x2, 4 levels; 5 train, 2 val, 3 test") == 2


def test_a_test_on_a_part_of_the_images_becomes_no_record(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "one", "abcdef123456")
    entries, _ = read_runs([tmp_path / "runs"])
    Run(run).merge_metrics({"test/images": 2, "data/test": 3})
    with pytest.raises(GdlError, match="is no result, because it was tested on 2 of 3 images"):
        add_records(entries, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_numbers_of_uncommitted_code_are_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "one", "abcdef123456+")
    entries, _ = read_runs([tmp_path / "runs"])
    with pytest.raises(GdlError, match="commit the code"):
        add_records(entries, tmp_path / "results")
    with pytest.raises(GdlError, match="no record"):
        render(tmp_path)


def test_a_record_is_not_overwritten_by_another_run(tmp_path: Path) -> None:
    one, two = (make_run(tmp_path / "runs" / of / "seed=0", "abcdef123456") for of in "ab")
    results = tmp_path / "results"
    with pytest.raises(GdlError, match="would have the same record") as e:
        add_records(read_runs([tmp_path / "runs"])[0], results)
    assert str(one) in str(e.value)
    assert str(two) in str(e.value)
    assert not results.exists()
    for _ in range(2):  # the same run again is no other
        add_records(read_runs([one.parent])[0], results)
    Run(two).merge_metrics({"model": "vae"})
    with pytest.raises(GdlError, match="is the record of nade on digits, not of"):
        add_records(read_runs([two.parent])[0], results)
    (results / "seed=0.json").write_text('{"title": "speed", "rows": []}')
    with pytest.raises(GdlError, match="is the record of a benchmark"):
        add_records(read_runs([two.parent])[0], results)


def test_the_command_writes_both(tmp_path: Path) -> None:
    make_run(tmp_path / "outputs" / "one", "abcdef123456")
    command = [sys.executable, str(ROOT / "compare.py"), "outputs", "results=true"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert "12.35" in (tmp_path / "RESULTS.md").read_text()


def test_the_newest_run_is_the_one_that_was_started_last(tmp_path):
    from gdl.runs import newest_runs

    for name, started in (("old", "2026-01-01 10:00:00"), ("new", "2026-01-02 10:00:00")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(f'{{"started": "{started}"}}')
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("[1, ")
    os.utime(tmp_path / "old" / "run.json")  # written last, as evaluate.py does
    assert [p.name for p in newest_runs(tmp_path)] == ["new", "old", "damaged"]
