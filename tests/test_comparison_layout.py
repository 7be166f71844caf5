"""Comparison tables fit the terminal, and no word of them is broken."""

import random
import re

import pytest

from gdl.comparison.entries import LeftOut
from gdl.comparison.tables import DIFFERS, PATH, ComparisonTable
from gdl.comparison.terminal import print_tables
from gdl.runs.metrics import COSTS

RESULT = "test bits/dim"
COLUMNS = [
    *("run", "model", RESULT, "kind", *COSTS.values()),
    *("epochs", "steps", "seeds", DIFFERS, PATH),
]
MODELS = ["ae", "vae", "pixelcnn_pp", "transformer", "glow_small", "beta_vae", "fvsbn"]
KINDS = ["exact", "bound", "iwae-5000", "dequant-16", "no density"]
SETTINGS = ["lr=0.001", "optimizer=AdamW", "hidden=[500,500]", "weight_decay=0.01",
            "limit_train_batches=100", "encoder=ConvEncoder",
            "max_epochs=100", "weights_of_the_parts_of_the_loss=[0.25,0.25,0.5]"]  # fmt: skip


def random_table(seed: int) -> ComparisonTable:
    """Return a table with the contents of real ones, the narrowest and the widest."""
    r, rows = random.Random(seed), []
    some = r.random()
    for _ in range(r.randint(1, 12)):
        spread = f" ± {r.uniform(0, 0.1):.4f}" if r.random() < some else ""
        costs = [f"{10 ** r.randint(2, 7):,}†", f"{r.uniform(0, 9999):,.0f}", f"{r.random():.3g}"]
        lengths = [str(r.randint(1, 500)), f"{r.randint(1, 300_000):,}"]
        settings = " ".join(r.sample(SETTINGS, r.randint(0, len(SETTINGS))))
        path = f"outputs/digits/vae/{r.randint(0, 10**20)}/{'x' * r.randint(1, 90)}"
        rows.append(
            [f"{r.randint(0, 2**16 - 1):04x}", r.choice(MODELS), f"{r.uniform(-9, 9):.4f}{spread}",
             r.choice(KINDS), *costs, *lengths, r.choice(["0", "0,1,2"]), settings, path]
        )  # fmt: skip
    return ComparisonTable("digits (abc123)", "1x8x8, 17 levels", COLUMNS, rows)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_word_is_broken_at_any_width(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    for seed in range(25):
        table = random_table(seed)
        print_tables([table], [], paths=True)
        printed = capsys.readouterr().out
        words = re.split(r"\s+", printed)
        lacking = re.search(r"not shown at this width: (.*)", printed)
        hidden = set(lacking[1].split(", ")) if lacking else set()
        shown = [c for c in COLUMNS if c not in hidden]
        at = [COLUMNS.index(c) for c in shown]
        wanted = {w for row in table.rows for i in at for w in row[i].split()}
        wanted |= {w for c in shown if c not in (DIFFERS, PATH) for w in c.split()}
        assert not wanted - set(words), (width, seed)
        if width >= 80:
            lines = [line for line in printed.splitlines() if "outputs/" not in line]
            assert max(map(len, lines)) <= width, (width, seed)
            assert {"run", "model", RESULT, "kind", "epochs", DIFFERS} <= set(shown)


def test_a_line_of_the_widest_run_has_all_its_numbers_at_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    row = ["a1b2", "transformer", "1.8049 ± 0.0123", "exact", "44,052,816†", "1,234†", "0.0123",
           "100", "105,000", "0,1,2", "lr=0.001", "outputs/x"]  # fmt: skip
    print_tables([ComparisonTable("digits", "", COLUMNS, [row])])
    printed = capsys.readouterr().out
    assert "outputs/x" not in printed, "the path comes on request"
    (line,) = [x for x in printed.splitlines() if x.startswith("a1b2")]
    assert line.split()[:5] == ["a1b2", "transformer", "1.8049", "exact", "44,052,816†"]


def test_runs_without_a_result_are_listed_with_the_reason(capsys):
    from pathlib import Path

    print_tables(
        [], [LeftOut(Path("a/[b]"), "damaged", "no [/x] table"), LeftOut(Path("c"), "why")]
    )
    assert capsys.readouterr().out.splitlines() == [
        "1 damaged:",
        "  'a/[b]'  (no [/x] table)",
        "1 why:",
        "  c",
    ]


def test_texts_of_a_run_are_no_markup(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    row = ["a1b2", "[/x]", "1.0", "[red]", "1", "1", "1", "1", "1", "0", "a=[/y] :bomb:", "[/z]"]
    print_tables([ComparisonTable("[/t]", "[bold]", COLUMNS, [row])], paths=True)
    printed = capsys.readouterr().out
    texts = ("[/x]", "[red]", "[/y]", ":bomb:", "[/z]", "[/t]", "[bold]")
    assert all(text in printed for text in texts)
