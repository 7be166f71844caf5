"""Metrics of disentanglement on codes whose answers are known, as a table of metrics and codes."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.evaluation.disentangling.beta_vae_score import beta_vae_score
from gdl.evaluation.disentangling.dci import concentration, dci
from gdl.evaluation.disentangling.factor_vae_score import factor_vae_score
from gdl.evaluation.disentangling.mig import mig_chen, mig_hist, posterior_information
from gdl.evaluation.disentangling.mutual_information import (
    discretized,
    entropies,
    mutual_information,
)
from gdl.evaluation.disentangling.sap import sap_r2, sap_svc
from gdl.evaluation.disentangling.shared_values import SharedValues
from gdl.evaluation.disentangling.total_correlation import gaussian_total_correlation

N, TRAIN = 2400, 1600
SIZES = (3, 3, 6, 6)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def factors(sizes: tuple[int, ...] = SIZES) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack([torch.randint(s, (N,), generator=generator) for s in sizes], 1)


def scaled(v: Tensor) -> Tensor:
    """Return the factors as codes with mean 0 and the same variance."""
    x = v.float()
    return (x - x.mean(0)) / x.std(0)


# ---- codes


def perfect(v: Tensor) -> Tensor:
    """Return a permutation of monotone maps of the factors, and two dead units between them."""
    x, dead = scaled(v), torch.zeros(N, 1)
    first = [(x[:, 2:3] / 2).exp(), dead, -x[:, :1]]
    return torch.cat([*first, (x[:, 3:] / 2).tanh(), dead + 5, 3 * x[:, 1:2]], 1)


def rotated(v: Tensor) -> Tensor:
    """Return pairs of factors, each rotated by 45 degrees in its plane."""
    x = scaled(v)
    pairs = [x[:, [0, 2]], x[:, [1, 3]]]
    return torch.cat([(a + b) / 2**0.5 for a, b in _sums(pairs)], 1)


def _sums(pairs: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return [(p[:, :1], sign * p[:, 1:]) for p in pairs for sign in (1, -1)]


def noise(v: Tensor) -> Tensor:
    return random(N, 6)


def duplicated(v: Tensor) -> Tensor:
    return scaled(v).repeat(1, 2)


CODES: dict[str, Callable[[Tensor], Tensor]] = {
    "perfect": perfect,
    "rotated": rotated,
    "noise": noise,
    "duplicated": duplicated,
}


# ---- metrics

Metric = Callable[[Tensor, Tensor], float]


def of_dci(field: str, variant: str = "forest") -> Metric:
    def metric(x: Tensor, v: Tensor) -> float:
        return getattr(dci(x[:TRAIN], v[:TRAIN], x[TRAIN:], v[TRAIN:], variant), field)

    return metric


def chen(x: Tensor, v: Tensor) -> float:
    x, v = x[:1200], v[:1200]  # all pairs of images are looked at
    # a dead unit's posterior is the prior
    dead = (x.std(0) < 0.05).expand_as(x)
    return float(mig_chen(x, torch.where(dead, 0.0, -5.0), v).mean())


METRICS: dict[str, Metric] = {
    "mig_hist20": lambda x, v: float(mig_hist(x, v).mean()),
    "mig_chen": chen,
    "sap_r2": lambda x, v: float(sap_r2(x, v).mean()),
    "sap_svc": lambda x, v: float(sap_svc(x[:TRAIN], v[:TRAIN], x[TRAIN:], v[TRAIN:]).mean()),
    "disentanglement": of_dci("disentanglement"),
    "completeness": of_dci("completeness"),
    "informativeness": of_dci("informativeness"),
    "factor_vae_score": lambda x, v: factor_vae_score(x, v, 2000, 1000),
    "beta_vae_score": lambda x, v: beta_vae_score(x, v, 2000, 1000),
}

SLOW = ("completeness", "informativeness")  # of the same forests as the disentanglement
QUICK = [pytest.param(m, marks=pytest.mark.slow) if m in SLOW else m for m in METRICS]

CHANCE = (0.2, 0.31)
"""Of accuracies that tell four factors apart."""

BOUNDS: dict[str, dict[str, tuple[float, float]]] = {
    "mig_hist20": {
        **{"perfect": (0.99, 1), "rotated": (0, 0.03), "noise": (0, 0.01)},
        "duplicated": (0, 1e-9),
    },
    "mig_chen": {
        **{"perfect": (0.99, 1), "rotated": (0, 0.03), "noise": (0, 0.02)},
        "duplicated": (0, 0.01),
    },
    # a correlation is 1 only if the map is a line
    "sap_r2": {
        **{"perfect": (0.85, 1), "rotated": (0, 0.03), "noise": (0, 0.01)},
        "duplicated": (0, 1e-9),
    },
    # one threshold cannot tell the values in the middle, see the test of two values below
    "sap_svc": {
        **{"perfect": (0.25, 0.8), "rotated": (0, 0.06), "noise": (0, 0.03)},
        "duplicated": (0, 1e-9),
    },
    "disentanglement": {
        **{"perfect": (0.99, 1), "rotated": (0.1, 0.6), "noise": (0, 0.03)},
        "duplicated": (0.99, 1),
    },
    "completeness": {
        **{"perfect": (0.99, 1), "rotated": (0.1, 0.6), "noise": (0, 0.03)},
        "duplicated": (0.6, 0.75),  # 1 - log 2 / log 8 = 2 / 3
    },
    # the mean of 1/3, 1/3, 1/6 and 1/6 is 1/4
    "informativeness": {
        **{"perfect": (0.99, 1), "rotated": (0.8, 1), "noise": CHANCE, "duplicated": (0.99, 1)},
    },
    "factor_vae_score": {
        **{"perfect": (1, 1), "rotated": (0.4, 0.65), "noise": CHANCE, "duplicated": (1, 1)},
    },
    "beta_vae_score": {
        **{"perfect": (0.99, 1), "rotated": (0.4, 0.65), "noise": CHANCE, "duplicated": (0.99, 1)},
    },
}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_is_what_it_should_be_on_codes_of_known_quality(metric: str, code: str) -> None:
    v = factors()
    low, high = BOUNDS[metric][code]
    assert low <= METRICS[metric](CODES[code](v), v) <= high + 1e-9


@pytest.mark.parametrize("metric", QUICK)
def test_the_order_of_the_latents_changes_nothing(metric: str) -> None:
    v = factors()
    x = torch.cat([perfect(v) + 0.3 * random(N, 6, seed=2), noise(v)], 1)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    # random trees draw other thresholds
    slack = 0.03 if metric in ("disentanglement", "completeness", "informativeness") else 0.01
    assert METRICS[metric](x[:, order], v) == pytest.approx(METRICS[metric](x, v), abs=slack)


@pytest.mark.parametrize("level", [0.0, 1e-3])
@pytest.mark.parametrize("metric", QUICK)
def test_dead_units_change_nothing(metric: str, level: float) -> None:
    v = factors()
    x = perfect(v)[:, [0, 2, 3, 5]]
    dead = 7 + level * random(N, 3, seed=4)
    found, alone = (METRICS[metric](z, v) for z in (torch.cat([dead, x], 1), x))
    slack = 0.06 if metric in ("completeness", "sap_svc") else 0.02
    assert found == pytest.approx(alone, abs=slack)


@pytest.mark.parametrize("metric", ["factor_vae_score", "mig_chen"])
def test_a_dead_unit_that_knows_a_factor_does_not_win(metric: str) -> None:
    v = factors()
    copies = 1e-3 * scaled(v)
    assert METRICS[metric](copies, v) < 0.02
    x = scaled(v)[:, :3]
    both, alone = METRICS[metric](torch.cat([copies, x], 1), v), METRICS[metric](x, v)
    assert both == pytest.approx(alone, abs=0.03)


def test_the_threshold_of_dead_units_is_an_option() -> None:
    v = factors()
    assert factor_vae_score(1e-3 * scaled(v), v, 500, 500, prune=0.0) == 1


def test_one_threshold_tells_two_values_so_the_svc_gap_reaches_its_most() -> None:
    v = factors((2, 2))
    x = torch.cat([scaled(v), torch.zeros(N, 1)], 1)
    # the second-best latent still guesses one half
    assert METRICS["sap_svc"](x, v) == pytest.approx(0.5, abs=0.03)


def test_gradient_boosting_is_another_variant_with_the_same_answers() -> None:
    v = factors((2, 3))
    x = torch.cat([scaled(v), random(N, 1)], 1)
    parts = (x[:500], v[:500], x[500:1000], v[500:1000])
    for variant in ("forest", "gbt"):
        found = dci(*parts, variant)
        assert min(found[:3]) > 0.98
        assert found.importance.shape == (3, 2)
        assert torch.equal(found.importance.argmax(0), torch.tensor([0, 1]))
        assert torch.allclose(found.importance.sum(0), torch.ones(2).double())
    with pytest.raises(GdlError, match=r"measure\.trees must be forest or gbt"):
        dci(*parts, "lasso")


@pytest.mark.parametrize("metric", [m for m in METRICS if m not in ("mig_chen",)])
def test_one_latent_and_one_factor_are_enough(metric: str) -> None:
    v = factors((3,))
    expected = 1 if metric != "sap_svc" else METRICS[metric](scaled(v), v)
    assert METRICS[metric](scaled(v), v) == pytest.approx(expected, abs=0.01)


# ---- what the metrics are made of


@pytest.mark.parametrize("counts", [[[3, 0], [0, 5]], [[1, 1], [2, 2]], [[4, 1, 0], [2, 2, 7]]])
def test_mutual_information_of_a_known_joint_distribution(counts: list[list[int]]) -> None:
    joint = torch.tensor(counts)
    cells = [(z, v) for z in range(len(counts)) for v in range(len(counts[0]))]
    rows = torch.tensor([c for c in cells for _ in range(int(joint[c]))])
    p = joint.double() / joint.sum()
    outer = p.sum(1, keepdim=True) * p.sum(0, keepdim=True)
    exact = float(torch.xlogy(p, p / outer).nansum())
    found = mutual_information(rows[:, :1], rows[:, 1:])
    assert float(found) == pytest.approx(exact, abs=1e-12)
    own = mutual_information(rows, rows)
    assert torch.allclose(own.diagonal(), entropies(rows))
    assert torch.allclose(own, own.T)


def test_bins_have_equal_width_and_a_constant_has_one() -> None:
    x = torch.tensor([0.0, 0.24, 0.26, 0.5, 0.99, 1.0])
    x = torch.stack([x, -8 * x, torch.full((6,), 0.1) + 1e-9 * x], 1)
    bins = discretized(x, 4)
    assert bins[:, 0].tolist() == [0, 0, 1, 2, 3, 3]
    assert bins[:, 1].tolist() == [3, 3, 2, 2, 0, 0]
    assert bins[:, 2].tolist() == [0] * 6


@pytest.mark.parametrize("distance", [0.0, 1.0, 4.0])
def test_information_of_posteriors_is_that_of_a_mixture_of_two_normals(distance: float) -> None:
    v = torch.arange(N)[:, None] % 2
    mean, log_std = distance * v.float() + 10, torch.zeros(N, 1)
    grid = torch.linspace(-10, 15, 20001).double()
    parts = [torch.exp(-((grid - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (0, distance)]
    mixture = (parts[0] + parts[1]) / 2
    entropy = -torch.trapezoid(torch.xlogy(mixture, mixture), grid)
    exact = float(entropy) - 0.5 * math.log(2 * math.pi * math.e)
    found = float(posterior_information(mean, log_std, v))
    assert found == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("rho", [0.0, 0.5, -0.9])
def test_total_correlation_of_two_normals(rho: float) -> None:
    x = random(N, 3).double()
    x -= x.mean(0)
    q = torch.linalg.qr(x).Q  # uncorrelated to rounding
    mixed = torch.stack([q[:, 0], rho * q[:, 0] + (1 - rho**2) ** 0.5 * q[:, 1]], 1)
    codes = torch.cat([mixed, torch.ones(N, 1)], 1)
    exact = -0.5 * math.log(1 - rho**2)
    assert gaussian_total_correlation(codes) == pytest.approx(exact, abs=1e-6)


def test_importance_in_one_place_is_concentrated() -> None:
    importance = torch.tensor([[1.0, 0.5, 0.0], [-1e-17, 0.5, 0.0], [0.0, 0.0, -1e-17]])
    by_factor = concentration(importance, 0)
    assert by_factor[:2].tolist() == pytest.approx([1, 1 - math.log(2) / math.log(3)])
    assert bool(concentration(importance, 1).isfinite().all())


def test_drawn_images_share_the_value_and_are_others() -> None:
    v = factors()[:200]
    shared = SharedValues(v, torch.Generator().manual_seed(0))
    factor, image = shared.factor_and_image(500, 3)
    pairs = (factor[:, None].expand(-1, 3), image)
    other = shared.others(*pairs)
    assert torch.equal(v[image, pairs[0]], v[other, pairs[0]])
    assert bool((other != image).all())
    assert set(factor.tolist()) == {0, 1, 2, 3}
    # each of the others is as likely
    first = torch.zeros(20_000).long()
    drawn = torch.bincount(shared.others(first, first), minlength=200).double()
    has = v[:, 0] == v[0, 0]
    has[0] = False
    expected = 20_000 / int(has.sum())
    assert bool((drawn[~has] == 0).all())
    assert bool(((drawn[has] - expected).abs() < 5 * expected**0.5).all())


@pytest.mark.parametrize("score", [factor_vae_score, beta_vae_score])
def test_too_few_images_of_a_value_are_a_sentence(score: Callable[..., float]) -> None:
    v = torch.arange(40)[:, None]
    with pytest.raises(GdlError, match=r"no value of factor 0 has more than 4.*raise limit"):
        score(v.float(), v)
