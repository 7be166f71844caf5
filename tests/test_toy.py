"""Toy data: the density is normalized, and the samples follow it."""

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gdl.capabilities import HasLogProb
from gdl.data.densities import TARGETS, Dots, LineMixture
from gdl.data.toy import Toy
from gdl.errors import GdlError
from gdl.evaluation import divergence
from gdl.families.flow import FlowModel
from gdl.flows.dequantize import Affine
from gdl.flows.priors import NormalPrior

NAMES = [(d, name) for d in TARGETS for name in TARGETS[d]]
each = pytest.mark.parametrize(("d", "name"), NAMES)


def build(d: int, name: str, n: int = 20_000, **options: int) -> Toy:
    return Toy(target=name, shape=[d], num_train=n, num_eval=n, **options)


@each
def test_the_density_integrates_to_one(d: int, name: str) -> None:
    data = build(d, name)
    assert isinstance(data, HasLogProb)
    if d == 1:
        points, cell = torch.linspace(-20, 20, 40_001, dtype=torch.float64)[:, None], 1e-3
    else:
        side = torch.linspace(-6, 6, 301, dtype=torch.float64)
        points, cell = torch.cartesian_prod(side, side), float(side[1] - side[0]) ** 2
    total = sum(float(data.log_prob(p).exp().sum()) for p in points.split(100_000))
    assert total * cell == pytest.approx(1, abs=2e-6)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", TARGETS[1])
def test_samples_on_the_line_follow_the_density(name: str, split: str) -> None:
    data = build(1, name)
    x = data.images(split)
    assert x.shape == (20_000, 1)
    assert x.dtype == torch.float32
    points = torch.linspace(-20, 20, 40_001, dtype=torch.float64)
    cdf = data.log_prob(points[:, None]).exp().cumsum(0) * 1e-3
    found = torch.searchsorted(x[:, 0].double().sort().values, points) / len(x)
    # Kolmogorov and Smirnov: beyond it once in a thousand
    assert (found - cdf).abs().max() < 1.95 / math.sqrt(len(x)) + 1e-3


@pytest.mark.parametrize("name", TARGETS[2])
def test_samples_in_the_plane_follow_the_density(name: str) -> None:
    data = build(2, name)
    x = data.images("train")
    assert x.shape == (20_000, 2)
    assert x.dtype == torch.float32
    # E_p[q / p] = 1 for every density q; q has its mass where p has, so that the ratio is small
    density = data.density
    assert isinstance(density, Dots)
    narrow = 0.7 * density.std
    gap = torch.cdist(x.double(), density.centres[:1]).square().squeeze(1) / narrow**2
    log_q = -0.5 * gap - 2 * math.log(narrow) - math.log(2 * math.pi)
    ratio = (log_q - data.log_prob(x)).exp()
    error = float(ratio.std()) / math.sqrt(len(ratio))
    assert abs(float(ratio.mean()) - 1) < 5 * error
    assert error < 0.1


def test_training_batches_are_new_samples_that_depend_on_the_seed() -> None:
    batches = [
        torch.cat(list(build(1, "claw", 2000, seed=s).train_dataloader())) for s in (0, 0, 1)
    ]
    a, again, b = batches
    assert torch.equal(a, again)
    assert len(torch.cat([a, b, build(1, "claw", 2000).images("test")]).unique()) > 5990


def test_splits_differ_and_repeat() -> None:
    a, b = build(2, "moons", 100), build(2, "moons", 100)
    splits = [a.images(s) for s in ("train", "val", "test")]
    assert all(not torch.equal(x, y) for x, y in itertools.pairwise(splits))
    assert all(
        torch.equal(x, b.images(s)) for x, s in zip(splits, ("train", "val", "test"), strict=True)
    )


def test_the_divergence_is_that_of_two_normal_densities() -> None:
    # q(x) = N(-0.6, 2^2)
    model = FlowModel((1,), None, Affine(0.5, 0.3), NormalPrior())
    truth = LineMixture("normal", [(1.0, 0.0, 1.0)])
    x = truth.draw(50_000, torch.Generator().manual_seed(0))
    data: Any = SimpleNamespace(images=lambda split: x, log_prob=truth.log_prob)
    found = divergence(model, data)
    expected = math.log(2) + (1 + 0.36) / 8 - 0.5
    # log p(x) / q(x) = const + 0.15 x - 0.375 x^2
    assert found["test/kl_se"] == pytest.approx(
        math.sqrt((0.0225 + 2 * 0.375**2) / 50_000), rel=0.05
    )
    assert abs(found["test/kl"] - expected) < 4 * found["test/kl_se"]
    assert found["test/entropy"] == pytest.approx(0.5 * math.log(2 * math.pi * math.e), abs=0.02)
    assert found["test/points"] == 50_000


def test_an_unknown_target_names_those_that_there_are() -> None:
    with pytest.raises(GdlError, match="gaussians, grid, rings"):
        Toy(target="ring", shape=[2])
    with pytest.raises(GdlError, match="laplace, boxes, skewed"):
        Toy(target="rings", shape=[1])
    with pytest.raises(GdlError, match=r"data\.shape must be"):
        Toy(target="rings", shape=[3])
