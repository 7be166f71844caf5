"""Sums of terms, learning-rate schedules and noise."""

import itertools
import math
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gdl.errors import GdlError
from gdl.families.terms import TermSums
from gdl.noise import SampleNoise, mix_seed, seed_noise
from gdl.training.schedules import Cosine, warmup

# ---- TermSums


def batches(*sizes: int) -> list[dict[str, Tensor]]:
    g = torch.Generator().manual_seed(0)
    return [
        {"loss": torch.randn(n, generator=g), "nll": 7e3 + torch.randn(n, generator=g)}
        for n in sizes
    ]


@pytest.mark.parametrize("sizes", [(4,), (4, 4), (64, 64, 7), (1, 100, 3, 1)])
def test_means_weight_every_example_the_same(sizes: tuple[int, ...]) -> None:
    sums, found = TermSums(), batches(*sizes)
    for terms in found:
        sums.add(terms)
    assert sums.num_steps == len(sizes)
    means = sums.pop()
    for name in ("loss", "nll"):
        exact = torch.cat([terms[name].double() for terms in found]).mean().item()
        assert means[name] == pytest.approx(exact, rel=1e-12)


def test_pop_starts_anew_but_keeps_the_total() -> None:
    sums = TermSums()
    first, second = batches(5, 3)
    sums.add(first)
    sums.pop()
    assert sums.pop() == {}
    assert sums.num_steps == 0
    sums.add(second)
    assert sums.pop()["loss"] == pytest.approx(second["loss"].mean().item())
    assert sums.total == 8


def test_reduction_over_processes_weights_their_sizes() -> None:
    """Two processes with 5 and 2 examples: sums and counts are added before the division."""
    one, two = batches(5, 2)
    other = torch.tensor([*(v.double().sum() for v in two.values()), 2.0], dtype=torch.float64)
    sums = TermSums()
    sums.add(one)
    means = sums.pop(lambda t: t + other)
    for name, mean in means.items():
        assert mean == pytest.approx(torch.cat([one[name], two[name]]).double().mean().item())


def test_many_small_terms_are_not_lost() -> None:
    sums = TermSums()
    sums.add({"loss": torch.full((1,), 1e8)})
    for _ in range(100):
        sums.add({"loss": torch.full((1,), 0.5)})
    assert sums.pop()["loss"] * 101 == pytest.approx(1e8 + 50, abs=1e-3)


def test_terms_are_cut_from_the_graph() -> None:
    sums, p = TermSums(), torch.ones(3, requires_grad=True)
    sums.add({"loss": 2 * p})
    assert not sums._steps[0].requires_grad


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("terms", "named"),
    [
        (("loss", "nll", "rate"), "rate"),
        (("loss", "rate", "distortion"), "rate"),
        (("loss", "nll"), "loss"),
        (("loss",), "loss"),
        (("distortion",), "distortion"),
    ],
)
def test_the_first_bad_step_and_its_cause_are_named(
    bad: float, terms: tuple[str, ...], named: str
) -> None:
    sums = TermSums()
    for step in range(6):
        values = {
            n: torch.ones(3) for n in ("loss", "nll", "elbo", "rate", "distortion", "grad_norm")
        }
        if step >= 2:  # three batches before the latest, and all since
            for name in terms if step == 2 else values:
                values[name][1] = bad
        assert sums.num_steps == step
        sums.add(values)
        assert (sums.first_nonfinite() is None) == (step < 2)
    assert sums.first_nonfinite() == (named, 3)


def test_nan_makes_the_mean_nan() -> None:
    sums = TermSums()
    for value in (1.0, math.nan, 1.0):
        sums.add({"loss": torch.tensor([1.0, value]), "nll": torch.ones(2)})
    means = sums.pop()
    assert math.isnan(means["loss"])
    assert means["nll"] == 1


# ---- schedules


def rates(schedule: object, steps: int, **options: float) -> list[float]:
    """Return the learning rates that the steps 0, 1, ... are taken with."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=2.0)
    scheduler = schedule(optimizer, total_steps=steps, **options)
    found = []
    for _ in range(steps + 5):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_rises_peaks_and_ends(final: float) -> None:
    lr = rates(Cosine, 100, warmup_steps=20, final=final)
    assert lr[0] == pytest.approx(2 / 20)
    assert lr[9] == pytest.approx(1.0)
    assert lr[19] == pytest.approx(2.0)
    assert lr[20] == pytest.approx(2.0)
    assert lr[60] == pytest.approx(2 * (1 + final) / 2)  # half-way down
    assert lr[100:] == pytest.approx([2 * final] * 5)
    assert all(a < b for a, b in itertools.pairwise(lr[:20]))
    assert all(a > b for a, b in itertools.pairwise(lr[20:101]))


def test_cosine_without_warmup_starts_at_its_maximum() -> None:
    lr = rates(Cosine, 10)
    assert lr[0] == 2
    assert lr[5] == pytest.approx(1)
    assert lr[10] == pytest.approx(0)


def test_cosine_shorter_than_its_warmup_is_finite() -> None:
    assert all(0 < r <= 2 for r in rates(Cosine, 5, warmup_steps=20)[:5])


def test_warmup_rises_and_stays() -> None:
    lr = rates(warmup, 20, warmup_steps=4)
    assert lr[:5] == pytest.approx([0.5, 1, 1.5, 2, 2])
    assert set(lr[4:]) == {2.0}
    assert set(rates(warmup, 5, warmup_steps=0)) == {2.0}


# ---- noise


def draw(seed: int, indices: list[int]) -> list[Tensor]:
    noise = SampleNoise(seed, indices)
    return [noise.normal(3), noise.uniform(2, 2), noise.normal()]


def test_a_sample_has_its_own_stream() -> None:
    together, apart = draw(0, [0, 1, 2, 3]), draw(0, [2])
    swapped = draw(0, [3, 2])
    for t, a, s in zip(together, apart, swapped, strict=True):
        assert torch.equal(t[2:3], a)
        assert torch.equal(t[[3, 2]], s)
        assert len(t.view(4, -1).unique(dim=0)) == 4


def test_samples_that_share_a_stream_have_fixed_and_different_parts_of_it() -> None:
    per_stream = SampleNoise.NUMBERS // 3
    indices = [per_stream - 1, per_stream, 5 * per_stream + 7, 0]
    together = SampleNoise(3, indices).normal(3)
    for k, expected in zip(indices, together, strict=True):
        assert torch.equal(SampleNoise(3, [k]).normal(3)[0], expected)
    many = SampleNoise(3, range(4 * per_stream)).normal(3)
    assert len(many.unique()) > 0.999 * many.numel()
    assert torch.equal(many[indices[:2]], together[:2])
    # neither dimensions nor neighbours know of each other
    both = torch.cat([many[:-1], many[1:]], 1)
    assert (both.T.corrcoef() - torch.eye(6)).abs().max() < 0.06


def test_streams_depend_on_the_seed_and_on_nothing_else() -> None:
    torch.manual_seed(1)
    first = draw(5, [0, 1])
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(first, draw(5, [0, 1]), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, draw(6, [0, 1]), strict=True))
    torch.set_rng_state(state)
    draw(7, [0])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_stream_goes_on() -> None:
    noise = SampleNoise(0, range(3))
    assert len(noise) == 3
    assert not torch.equal(noise.normal(4), noise.normal(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_noise_lies_in_the_open_interval(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    u = SampleNoise(0, range(10), dtype=dtype).uniform(10_000)
    assert u.dtype == dtype
    assert u.mean().item() == pytest.approx(0.5, abs=0.005)
    assert u.var().item() == pytest.approx(1 / 12, abs=0.002)
    for extreme in (0.0, 1 - 2.0**-24):  # the smallest and the largest number that rand gives
        monkeypatch.setattr(torch, "rand", lambda n, generator, e=extreme: torch.full((n,), e))
        u = SampleNoise(0, [0], dtype=dtype).uniform(3)
        assert ((u > 0) & (u < 1)).all()
        assert torch.logit(u).isfinite().all()


def test_normal_noise_is_standard() -> None:
    z = SampleNoise(0, range(10), dtype=torch.float64).normal(10_000)
    assert z.dtype == torch.float64
    assert z.mean().item() == pytest.approx(0, abs=0.02)
    assert z.var().item() == pytest.approx(1, abs=0.03)


def test_seeds_are_the_same_in_every_process_and_version() -> None:
    """Fixed numbers: a change would break the repeatability of all earlier runs."""
    assert mix_seed(0) == 2631537505891389924
    assert mix_seed("sample", 0, 1) == 3519318957171459142


def test_seeds_of_different_keys_differ() -> None:
    keys = [(i, j) for i in range(30) for j in range(30)]
    keys += [(str(i), j) for i in range(30) for j in range(30)]
    keys += [(10 * i + j,) for i in range(30) for j in range(30)]
    seeds = {mix_seed(*key) for key in keys}
    assert len(seeds) == len(set(keys))
    assert all(0 <= s < 2**63 for s in seeds)
    assert mix_seed(1, 23) != mix_seed(12, 3)


def test_seed_noise_fixes_the_default_stream() -> None:
    random.seed(0)
    python_state = random.getstate()
    seed_noise(torch.device("cpu"), "train", 1, 2)
    first = torch.randn(5)
    seed_noise(torch.device("cpu"), "train", 1, 3)
    second = torch.randn(5)
    seed_noise(torch.device("cpu"), "train", 1, 2)
    assert torch.equal(torch.randn(5), first)
    assert not torch.equal(first, second)
    assert random.getstate() == python_state


def test_cosine_with_minutes_follows_the_clock_also_when_resumed(monkeypatch: Any) -> None:
    now = 1000.0
    monkeypatch.setattr("gdl.training.schedules.time.monotonic", lambda: now)

    def start() -> tuple[torch.optim.Optimizer, Cosine]:
        optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=2.0)
        return optimizer, Cosine(optimizer, total_steps=10**9, warmup_steps=2, minutes=1)

    def rate() -> float:
        optimizer.step()
        scheduler.step()
        return optimizer.param_groups[0]["lr"]

    optimizer, scheduler = start()
    assert rate() == pytest.approx(2)
    now += 30
    assert rate() == pytest.approx(1)
    state, now = scheduler.state_dict(), 5.0  # another machine, another clock
    optimizer, scheduler = start()
    scheduler.load_state_dict(state)
    assert rate() == pytest.approx(1)
    now += 30
    assert rate() == pytest.approx(0)
    now += 30
    assert rate() == pytest.approx(0)


@pytest.mark.parametrize("minutes", [0, -1, math.inf, math.nan])
def test_cosine_refuses_minutes_that_are_not_positive(minutes: float) -> None:
    with pytest.raises(GdlError, match="minutes"):
        rates(Cosine, 5, minutes=minutes)
