"""Tables of scores by runs, in gdl compare and in RESULTS.md, from what measure=ood has recorded."""

import re
from pathlib import Path

import pytest
from test_results import make_run

from gdl.comparison.detection import auroc_of, detection_tables
from gdl.comparison.entries import read_runs
from gdl.comparison.results import add_records, render
from gdl.comparison.terminal import print_tables
from gdl.runs.directory import Run

KNOWN = {"data/shape": [1, 2, 2], "data/levels": 4, "data/train": 5, "data/val": 2, "data/test": 3}


def measured(folder: Path, model: str, digest: str = "ab", **scores: float | None) -> Path:
    """Return a run whose scores are given as data__score=AUROC."""
    run = Run(make_run(folder, "abcdef123456"))
    metrics = {"model": model, "data": "d", "data/digest": 32 * digest, "test/images": 3, **KNOWN}
    for name, value in scores.items():
        key = f"test/ood/{name.replace('__', '/').replace('_', '-')}"
        ends = {f"{key}/auroc": value, f"{key}/aupr": 0.123, f"{key}/fpr95": 0.456}
        if value is not None:
            ends |= {f"{key}/auroc_low": value - 0.01, f"{key}/auroc_high": value + 0.01}
        metrics |= ends | {f"{key.rpartition('/')[0]}/images": 100}
    run.merge_metrics(metrics)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    measured(
        folder / "a", "vae", mnist__likelihood=0.145, mnist__complexity=0.987, noise__dose=1.0
    )
    measured(folder / "b", "made", mnist__likelihood=0.25, mnist__typicality_10=None)
    measured(folder / "c", "nice", digest="cd", mnist__likelihood=0.75)
    measured(folder / "d", "glow")
    return folder


def test_each_pair_of_data_has_a_table_with_a_row_for_each_run(runs: Path) -> None:
    tables = detection_tables(read_runs([runs])[0])
    found = {
        (re.findall(r"telling (\w+) from", t.data)[0], frozenset(row[1] for row in t.rows)): t
        for t in tables
    }
    assert set(found) == {
        ("mnist", frozenset({"vae", "made"})),
        ("noise", frozenset({"vae"})),
        ("mnist", frozenset({"nice"})),
    }
    table = found["mnist", frozenset({"vae", "made"})]
    at = [table.columns.index(score) for score in ("likelihood", "complexity")]
    cells = {row[1]: [row[i] for i in at] for row in table.rows}
    assert cells == {"vae": ["0.145", "0.987"], "made": ["0.250", "-"]}
    assert len({t.data for t in tables}) == 3, "other data have another title"


def test_the_tables_are_printed_by_compare(runs: Path, capsys: pytest.CaptureFixture) -> None:
    entries, _ = read_runs([runs])
    print_tables(detection_tables(entries))
    out = capsys.readouterr().out
    assert out.count("AUROC") == 3
    assert re.search(r"vae .*0\.145 .*0\.987", out)


def test_records_of_runs_give_the_tables_of_results(runs: Path, tmp_path: Path) -> None:
    entries, _ = read_runs([runs])
    add_records(entries, tmp_path / "results")
    text = render(tmp_path / "results")
    sections = text.split("### ")[1:]
    assert [s.partition(" as out of")[0] for s in sections] == ["d: mnist", "d: noise", "d: mnist"]
    assert "| model | likelihood | complexity | command |" in text
    assert re.search(
        r"^\| vae \| 0\.145 \(0\.135 to 0\.155\) \| 0\.987 .* \|$", text, re.MULTILINE
    )
    assert re.search(r"^\| made \| 0\.250 \(0\.240 to 0\.260\) \| - \| ", text, re.MULTILINE)
    assert not any("glow" in s.partition("\n## ")[0] for s in sections), "it was not measured"


def test_without_foreign_data_there_is_no_table(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "one", "abcdef123456")
    entries, _ = read_runs([tmp_path / "runs"])
    assert detection_tables(entries) == []
    add_records(entries, tmp_path / "results")
    assert "out of distribution" not in render(tmp_path / "results")


def test_only_areas_of_scores_are_read() -> None:
    metrics = {
        "test/ood/a/images": 7,
        "test/ood/a/ratio/auroc": 0.5,
        "test/ood/a/ratio/auroc_low": 0.4,
        "test/ood/a+pad/ratio/auroc": 1,
        "test/ood/a/waic/auroc": None,
        "test/ood/my/own/dose/auroc": 0.75,
        "test/auroc": 0.1,
    }
    assert auroc_of(metrics) == {
        "a": {"ratio": 0.5},
        "a+pad": {"ratio": 1},
        "my/own": {"dose": 0.75},
    }
