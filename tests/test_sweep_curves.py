"""Numbers against a setting that was swept, and collapse told in a comparison."""

import json
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from gdl.commands.compare import compare
from gdl.comparison.entries import read_runs
from gdl.comparison.sweep_curves import interval, sweep_lines, sweep_tables, write_sweep_figures
from gdl.errors import GdlError

BETAS = (1, 4, 16)
MIG, RATE, DISTORTION = "disentanglement/mig_hist20", "test/rate", "test/distortion"


def add_run(
    folder: Path,
    name: str,
    beta: float,
    seed: int,
    numbers: dict[str, Any],
    model: str = "beta_vae",
) -> None:
    run = folder / name
    (run / ".hydra").mkdir(parents=True)
    settings = {"beta": beta, "latent_dim": 10, "again": "${model.beta}"}
    config = {"seed": seed, "model": settings}
    (run / ".hydra" / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    (run / "run.json").write_text("{}")
    data = {"data/shape": [1, 64, 64], "data/levels": 2, "data/digest": "ab" * 32}
    known = {"model": model, "data": "dsprites", "kind": "bound", "seed": seed, **data}
    (run / "metrics.json").write_text(json.dumps(known | numbers))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for beta in BETAS:
        for seed in (1, 2, 3):
            numbers = {RATE: 30 / beta + seed, DISTORTION: 20 + beta + seed, "test/bpd": 0.01}
            add_run(tmp_path, f"b{beta}s{seed}", beta, seed, numbers | {MIG: beta / 100 + seed})
    return tmp_path


def entries(folder: Path) -> list:
    return read_runs([folder])[0]


def test_intervals_are_students() -> None:
    """Of three numbers the factor is 4.3027; of two 12.706."""
    assert interval([]) is None
    assert interval([2.0]).half is None  # type: ignore[union-attr]
    for values, factor in (([1.0, 2.0, 4.0], 4.302653), ([1.0, 3.0], 12.706205)):
        found = interval(values)
        assert found is not None
        assert (found.mean, found.n) == (statistics.fmean(values), len(values))
        expected = factor * statistics.stdev(values) / len(values) ** 0.5
        assert found.half == pytest.approx(expected, rel=1e-5)


def test_runs_that_differ_in_the_setting_and_the_seed_are_one_line(folder: Path) -> None:
    add_run(folder, "other", 4, 1, {RATE: 9.0, DISTORTION: 9.0}, "vae")
    add_run(folder, "again", 4.0, 3, {RATE: 999.0, DISTORTION: 9.0, "test/bpd": 0.01, MIG: 0.0})
    lines = sweep_lines(entries(folder), "model.beta", [RATE, MIG])
    by_model = {line.model: line for line in lines}
    assert set(by_model) == {"beta_vae", "vae"}
    points = by_model["beta_vae"].points
    assert [x for x, _ in points] == list(BETAS)
    for x, found in points:
        rate = found[RATE]
        assert rate is not None
        assert rate.n == 3, "a seed counts once"
        if x != 4:
            assert rate.mean == pytest.approx(30 / x + 2)
            assert rate.half == pytest.approx(4.302653 / 3**0.5, rel=1e-5)
    assert by_model["vae"].points[0][1][MIG] is None


def test_a_table_and_a_picture_are_of_what_was_measured(folder: Path) -> None:
    (table,) = sweep_tables(entries(folder), "model.beta", [])
    assert table.columns[:5] == ["number", "model", "beta=1", "beta=4", "beta=16"]
    assert [row[0] for row in table.rows] == ["rate", "distortion", "mig_hist20"]
    assert table.rows[0][2] == "32 (29.52 to 34.48)"
    (path,) = write_sweep_figures(entries(folder), "model.beta", [], folder)
    with Image.open(path) as picture:
        assert min(picture.size) > 400
    (chosen,) = sweep_tables(entries(folder), "model.beta", ["test/bpd"])
    assert [row[0] for row in chosen.rows] == ["bpd"]


@pytest.mark.parametrize(
    ("key", "metrics", "words"),
    [
        ("model.gamma", [], "No run here has the setting model.gamma"),
        ("model.beta", ["test/ssim"], "None of the runs with model.beta has test/ssim"),
    ],
)
def test_what_no_run_has_is_refused(
    folder: Path, key: str, metrics: list[str], words: str
) -> None:
    with pytest.raises(GdlError, match=words):
        sweep_tables(entries(folder), key, metrics)


def test_the_command_tells_collapse_and_writes_the_picture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    used = {"active_units": 3, "latents/number": 10, "test/bpd": 0.01, RATE: 5.0, DISTORTION: 3.0}
    add_run(folder, "some", 2, 1, used)
    add_run(folder, "none", 900, 1, {RATE: 0.001, DISTORTION: 400.0, "test/bpd": 0.9})
    asked = {"folders": [str(folder)], "where": [], "group_seeds": True, "paths": False}
    asked |= {"report": None, "results": False, "wandb": False, "curve": "model.beta"}
    compare(SimpleNamespace(**asked, metrics=None, report_path=None))  # type: ignore[arg-type]
    text = " ".join(capsys.readouterr().out.split())
    assert "beta=2: 3 of 10 latents are active; the others carry next to no information." in text
    assert "beta=900: The model does not use its latents (the rate is 0.001 nats)" in text
    assert (folder / "curve-model.beta.png").is_file()
