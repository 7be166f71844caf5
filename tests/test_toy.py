"""Toy data: the density is normalized, and the samples follow it."""

import itertools
import math

import pytest
import torch

from gdl.capabilities import HasLogProb
from gdl.data.toy import TARGETS, Toy
from gdl.errors import GdlError


def build(name: str, n: int = 20_000) -> Toy:
    return Toy(target=name, shape=[2], num_train=n, num_eval=n)


@pytest.mark.parametrize("name", TARGETS)
def test_the_density_integrates_to_one(name: str) -> None:
    data = build(name)
    assert isinstance(data, HasLogProb)
    side = torch.linspace(-6, 6, 301, dtype=torch.float64)
    step = float(side[1] - side[0])
    points = torch.cartesian_prod(side, side)
    total = sum(float(data.log_prob(p).exp().sum()) for p in points.split(100_000))
    assert total * step**2 == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", TARGETS)
def test_samples_follow_the_density(name: str) -> None:
    data = build(name)
    x = data.images("train")
    assert x.shape == (20_000, *data.shape)
    assert x.dtype == torch.float32
    # E_p[q / p] = 1 for every density q; q has its mass where p has, so that the ratio is small
    centres, std = TARGETS[name]()
    narrow = torch.cdist(x.double(), centres[:1]).square().squeeze(1) / (0.7 * std) ** 2
    log_q = -0.5 * narrow - x.shape[1] * math.log(0.7 * std)
    log_q = log_q - 0.5 * x.shape[1] * math.log(2 * math.pi)
    ratio = (log_q - data.log_prob(x)).exp()
    error = float(ratio.std()) / math.sqrt(len(ratio))
    assert abs(float(ratio.mean()) - 1) < 5 * error
    assert error < 0.1


def test_splits_differ_and_repeat() -> None:
    a, b = build("moons", 100), build("moons", 100)
    splits = [a.images(s) for s in ("train", "val", "test")]
    assert all(not torch.equal(x, y) for x, y in itertools.pairwise(splits))
    assert all(
        torch.equal(x, b.images(s)) for x, s in zip(splits, ("train", "val", "test"), strict=True)
    )


def test_an_unknown_target_names_those_that_there_are() -> None:
    with pytest.raises(GdlError, match="gaussians, grid, rings"):
        Toy(target="ring", shape=[2])
