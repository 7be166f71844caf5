"""A number that does not exist has no key, one that is not finite is not hidden, JSON is strict."""

import ast
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import test_measures as table
import torch
from torch import Tensor

import gdl
from gdl import evaluation
from gdl.capabilities import Incapable
from gdl.data import Digits, Toy
from gdl.evaluation.feature_distances import fit_mixture, frechet_distance, kernel_distance
from gdl.runs.directory import Run
from gdl.runs.report import print_results

CAPABLE = [(measure, model) for measure, (_, by) in table.MEASURES.items() for model in by]
DUMPS = ("json.dump", "json.dumps")
VARIES = {"active_units", "distances", "features", "latents"}
"""Measures of how images vary, which one image does not."""


def refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def strict(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(), parse_constant=refuse_constant)


@pytest.mark.parametrize(("measure", "name"), CAPABLE)
def test_one_image_gives_numbers_without_errors(
    measure: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = Toy(target="moons", shape=[2], num_train=100, num_eval=100)
    data = toy if name == "toy" else Digits(shape=table.SHAPE, levels=table.LEVELS)
    call = lambda: getattr(evaluation, measure)(  # noqa: E731
        table.build(name), data, limit=1, **table.MEASURES[measure][0]
    )
    if measure in VARIES:
        with pytest.raises(Incapable, match="at least 2 test images"):
            call()
        return
    found = call()
    expected = table.MEASURES[measure][1][name]
    assert found.keys() == {k for k in expected if not k.endswith("_se")}
    assert all(math.isfinite(v) for v in found.values())
    Run(tmp_path).merge_metrics({"model": name, "data": "x", "kind": "exact"} | found)
    print_results(strict(tmp_path / "metrics.json"))
    printed = capsys.readouterr().out
    assert "nan" not in printed
    assert "±" not in printed


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_told_and_kept_as_null(
    bad: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path)
    numbers = {"test/nll": bad, "test/nll_se": bad, "test/bpd": bad, "inversion/max_error": bad}
    known = {"model": "nice", "data": "digits", "kind": "exact", "params": 3, "train_seconds": 1.0}
    run.merge_metrics(known | numbers)
    run.note_command(facts=known | numbers | {"deeper": [{"x": (bad, 1.5)}]})
    found = strict(run.metrics_json)
    assert {k: found[k] for k in numbers} == dict.fromkeys(numbers)
    facts = strict(run.record)["facts"]
    assert facts["deeper"] == [{"x": [None, 1.5]}]
    assert facts["params"] == 3
    for metrics in (known | numbers, run.metrics()):  # from memory, and from the file
        print_results(metrics)
        printed = " ".join(capsys.readouterr().out.split())  # lines may be broken anywhere
        assert printed.count("not finite") == 3
        assert "nan" not in printed.replace("not finite", "")


def test_json_is_written_strictly_everywhere() -> None:
    """`gdl.files.write_json` writes; other calls say allow_nan=False, or make a key in memory."""
    for path in Path(gdl.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or ast.unparse(call.func) not in DUMPS:
                continue
            options = {k.arg: ast.unparse(k.value) for k in call.keywords}
            is_key = "default" in options  # values that JSON does not know are for no file
            assert options.get("allow_nan") == "False" or is_key, f"{path}:{call.lineno}"


# ---- maxima, minima and counts


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("bad", [math.nan, 60.0])
def test_one_bad_image_is_seen_in_the_effective_samples(
    bad: float, position: int, batch_size: int
) -> None:
    model = table.build("vae")
    x = torch.zeros(3, *table.SHAPE, dtype=torch.uint8)
    x[position] = 9

    def log_weights(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        w = torch.zeros(k, len(x))
        w[0] = torch.where(x.flatten(1)[:, 0] == 9, bad, 0.0)  # one weight is all, or is none
        return w, torch.zeros_like(w)

    model.log_weights = log_weights
    data: Any = SimpleNamespace(images=lambda split: x)
    found = evaluation.iwae(model, data, k=5, batch_size=batch_size)
    smallest = found["iwae-5/effective_samples_min"]
    assert math.isnan(smallest) if math.isnan(bad) else smallest == pytest.approx(1)
    if math.isfinite(bad):
        assert found["iwae-5/effective_samples"] == pytest.approx(5)


@pytest.mark.parametrize("batch_size", [1, 3, 500])
@pytest.mark.parametrize("position", range(4))
def test_an_inverse_that_fails_for_one_image_is_seen(position: int, batch_size: int) -> None:
    model = table.build("flow")
    x = torch.zeros(4, *table.SHAPE, dtype=torch.uint8)
    x[position] = 16
    decode = model.decode
    bad = model.encode(x)[position]
    model.decode = lambda z: torch.where(
        (z - bad).abs().amax(1)[:, None, None, None] < 1e-3, math.nan, decode(z)
    )
    data: Any = SimpleNamespace(images=lambda split: x)
    found = evaluation.inversion(model, data, n=4, batch_size=batch_size)
    assert math.isnan(found["inversion/max_error"])
    assert math.isnan(found["inversion/mean_error"])


def test_samples_without_a_likelihood_are_unlikely() -> None:
    model = table.build("flow")
    model.nll = lambda x, k=1: torch.full((len(x),), math.nan)
    data: Any = SimpleNamespace(
        images=lambda split: torch.zeros(4, *table.SHAPE, dtype=torch.uint8)
    )
    assert evaluation.inversion(model, data, n=20)["samples/unlikely"] == 1


def test_features_that_are_not_finite_have_no_distance() -> None:
    good, bad = torch.randn(2, 20, 5).unbind()
    bad[3, 2] = math.nan
    for distance in (frechet_distance, kernel_distance):
        assert math.isnan(distance(good, bad))
        assert math.isnan(distance(bad, good))
    assert fit_mixture(bad, 4, 0).isnan().all()
    assert fit_mixture(good[:2], 4, 0).isfinite().all()
