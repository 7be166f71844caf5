"""The auditor catches each wrong model of the gallery, with the reason, and no right one."""

from functools import partial
from pathlib import Path
from typing import Any

import forked
import hydra
import pytest
import torch
from hydra.utils import instantiate
from wrong_models import BINARY, RIGHT, WARNED, WRONG

from gdl.audit import FAILED, NOT_APPLICABLE, PASSED, WARNING, Finding, check
from gdl.audit.subjects import random_images
from gdl.commands.conf import CONF, register_resolvers
from gdl.families.base import GenerativeModel
from gdl.training.run import build_model

ROOT = Path(__file__).resolve().parent.parent

SHAPE = (1, 4, 4)

SOONEST = (
    *("MeanOverPixels", "MeanOfTheBatch", "MaskWithDiagonal", "BlueBeforeRed", "GlobalNoise"),
    *("KLWrongSign", "OwnKLReversed", "LogDetSign", "NormOncePerImage"),
)
"""Wrong models of the default tests; the slow tests have all."""


def gallery(models: Any) -> list[Any]:
    """Return the models as parameters of a test, all but a few of them slow."""
    slow = pytest.mark.slow
    marks = [() if m.__name__ in SOONEST else (slow,) for m in models]
    return [
        pytest.param(m, marks=mark, id=m.__name__) for m, mark in zip(models, marks, strict=True)
    ]


def slowly(values: Any) -> list[Any]:
    return [pytest.param(v, marks=pytest.mark.slow) for v in values]


def checked(make: Any) -> list[Finding]:
    levels = 2 if make in BINARY else 4
    torch.manual_seed(0)
    model: GenerativeModel = make(SHAPE, levels)
    return check(model, random_images(SHAPE, levels, 64))


def named(findings: list[Finding], verdict: str) -> list[str]:
    return [f"{f.check}, {f.what}: {f.reason}" for f in findings if f.verdict == verdict]


@pytest.mark.parametrize("wrong", gallery(WRONG))
def test_a_classic_mistake_is_caught_with_its_reason(wrong: Any) -> None:
    name, words = WRONG[wrong]
    found = named(checked(wrong), FAILED)
    assert any(f.startswith(name) and words in f for f in found), "\n".join(found)


@pytest.mark.parametrize("odd", WARNED, ids=lambda c: c.__name__)
def test_what_is_seldom_meant_is_a_warning(odd: Any) -> None:
    name, words = WARNED[odd]
    findings = checked(odd)
    assert not named(findings, FAILED)
    assert any(f.startswith(name) and words in f for f in named(findings, WARNING))


@pytest.mark.parametrize("right", [*RIGHT[:2], *slowly(RIGHT[2:])], ids=str)
def test_a_right_model_is_passed(right: Any) -> None:
    findings = checked(right)
    assert not named(findings, FAILED) + named(findings, WARNING)
    assert sum(f.verdict == PASSED for f in findings) > 10
    assert all(f.reason for f in findings if f.verdict == NOT_APPLICABLE)


# ---- models of gdl, and the command


def overrides() -> list[Any]:
    """Every choice of conf/model on the digits, and flows on toy data; two of them in default tests."""
    names = [f.stem for f in sorted((CONF / "model").glob("*.yaml"))]
    on_digits = [(f"model={name}", "data=digits") for name in names]
    on_toys = [("model=realnvp", "data=toy1d"), ("model=realnvp", "data=toy2d")]
    on_toys += [("model=nice", "data=toy2d")]
    others = [("model=vae", "network@model.network=conv"), ("model=vae", "model.beta=3")]
    others += [("model=vae", "model.num_importance_samples=5")]
    others += [("model=glow_tiny", "model.dequantization=variational")]
    others += [("model=made", "model.num_masks=3", "model.order=random")]
    soon = [("model=fvsbn", "data=digits"), ("model=made", "data=digits")]
    return [*soon, *slowly(c for c in [*on_digits, *on_toys, *others] if c not in soon)]


@pytest.mark.parametrize("chosen", overrides(), ids=" ".join)
def test_no_model_of_gdl_raises_a_false_alarm(chosen: tuple[str, ...]) -> None:
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("check", [*chosen])
    data = instantiate(cfg.data, _convert_="all")
    data.prepare_data()
    torch.manual_seed(0)
    model = build_model(cfg.model)
    x = data.images("val" if data.levels is None else "train")[:512]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    findings = check(model, x)
    assert not named(findings, FAILED) + named(findings, WARNING)
    assert torch.equal(torch.get_rng_state(), state), "the random streams stay as they are"
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


MINE = """
import math
from gdl.models import FVSBN

class Right(FVSBN):
    pass

class Wrong(FVSBN):
    def loss(self, x):
        nll = -self.log_prob(x) / self.num_dims
        return {"loss": nll, "nll": nll}
"""
YAML = "_target_: mine.models.NAME\nshape: ${data.shape}\nlevels: ${data.levels}\n"


def test_the_command_checks_a_model_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "models.py").write_text(MINE)
    for name in ("Right", "Wrong"):
        file = tmp_path / "mine" / "model" / f"{name.lower()}.yaml"
        file.write_text(YAML.replace("NAME", name))
    check = partial(forked.gdl, "check", "--config-dir", "mine", cwd=tmp_path)
    right, wrong = (check(f"model={name}") for name in ("right", "wrong"))
    assert right.returncode == 0, right.stdout + right.stderr
    assert "FAILED" not in right.stdout
    assert wrong.returncode == 1
    assert "FAILED" in wrong.stdout
    assert wrong.stderr.splitlines()[-1].startswith("error: ")
    assert "mean over the dimensions" in wrong.stderr
    both = check("model=right", "run=latest")
    assert both.returncode == 1
    assert both.stderr.splitlines() == [
        "error: A run has its own model and data: leave out model=right, or leave out run= to check a "
        "model without training it."
    ]
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"], "a check leaves nothing behind"


@pytest.mark.slow
def test_the_command_checks_a_run(tmp_path: Path) -> None:
    for args in (["train", "model=made", "model.hidden=[20]", "trainer=debug", "logger=none"],
                 ["check", "run=latest"]):  # fmt: skip
        done = forked.gdl(*args, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
