"""Every likelihood is a normalised distribution of integers, and its samples follow it."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from gdl.distributions import (
    Bernoulli,
    Categorical,
    DiscretizedGaussian,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    Likelihood,
    default_conditional,
    default_likelihood,
)
from gdl.errors import GdlError
from gdl.noise import SampleNoise

BUILD = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "logistic": DiscretizedLogistic,
    "mixture": lambda s, n: DiscretizedLogisticMixture(s, n, num_mixtures=5),
    "gaussian-learned": lambda s, n: DiscretizedGaussian(s, n, variance="learned"),
    "gaussian-optimal": lambda s, n: DiscretizedGaussian(s, n, variance="optimal"),
}


@dataclass
class Case:
    """A likelihood, a number of channels and a number of levels."""

    name: str
    channels: int
    levels: int

    def __str__(self) -> str:
        return f"{self.name}-{self.channels}ch-{self.levels}"

    def build(self, height: int = 1, width: int = 1) -> Likelihood:
        # a training-mode optimal variance depends on the batch, so it is no density
        return BUILD[self.name]((self.channels, height, width), self.levels).double().eval()

    def images(self) -> Tensor:
        """Return all images of one pixel, (levels^C, C, 1, 1)."""
        one = torch.arange(self.levels, dtype=torch.uint8)
        grid = torch.cartesian_prod(*[one] * self.channels).view(-1, self.channels)
        return grid[:, :, None, None]


CASES = [
    Case("bernoulli", 1, 2),
    Case("bernoulli", 3, 2),
    *[Case(name, 1, n) for name in list(BUILD)[1:] for n in (2, 4, 17, 256)],
    *[Case(name, 3, 4) for name in list(BUILD)[1:]],
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)

SETTINGS = {  # mean and log-scale, in units where pixels lie in [-1, 1]
    "moderate": (0.3, -1.0),
    "at-the-edge": (0.95, -1.5),
    "tiny": (0.3, -30.0),
    "tiny-on-a-level": (1.0, -30.0),
    "far": (50.0, -1.0),
    "far-tiny": (-50.0, -30.0),
    "far-wide": (-50.0, 5.0),
    "flat": (0.0, 20.0),
}
each_setting = pytest.mark.parametrize("setting", SETTINGS)


def make_params(
    lk: Likelihood, mean: float, log_scale: float, spread: float = 0.1, seed: int = 0
) -> Tensor:
    """Return (1, P, H, W), the same for all pixels, with this mean and log-scale."""
    g = torch.Generator().manual_seed(seed)
    c = lk.shape[0]
    mu = mean + spread * torch.randn(c, generator=g, dtype=torch.float64)
    s = torch.full((c,), log_scale, dtype=torch.float64)
    if isinstance(lk, Bernoulli):
        p = mu / s.exp()
    elif isinstance(lk, Categorical):  # a discretized Gaussian of that mean, twice as wide
        y = torch.linspace(-1, 1, lk.levels, dtype=torch.float64)
        p = (-0.125 * ((y - mu[:, None]) / s[:, None].exp()).square()).flatten().clamp(min=-1e4)
    elif isinstance(lk, DiscretizedLogistic):
        p = torch.cat([mu, s])
    elif isinstance(lk, DiscretizedLogisticMixture):
        k = lk.num_mixtures
        draw = lambda n: torch.randn(k, n, generator=g, dtype=torch.float64)  # noqa: E731
        coeff = 3 * spread * draw(c * (c - 1) // 2)
        p = torch.cat([draw(1), mu + spread * draw(c), s + spread * draw(c), coeff], 1).flatten()
    else:
        lk.log_std.data.fill_(log_scale)
        p = mu
    return p[None, :, None, None].expand(1, -1, *lk.shape[1:]).clone()


@each_setting
@each_case
def test_probabilities_sum_to_one(case: Case, setting: str) -> None:
    lk = case.build()
    log_p = lk.log_prob(make_params(lk, *SETTINGS[setting]), case.images())
    assert log_p.shape == (case.levels**case.channels,)
    assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-9)


@each_setting
@each_case
def test_probabilities_of_the_channels_multiply_to_that_of_the_pixel(
    case: Case, setting: str
) -> None:
    lk, x = case.build(), case.images()
    params = make_params(lk, *SETTINGS[setting]).expand(len(x), -1, -1, -1)
    product = torch.ones(len(x), dtype=torch.float64)
    for c in range(case.channels):
        p = lk.probabilities(params, x[:, :c])
        assert p.shape == (len(x), case.levels, 1, 1)
        torch.testing.assert_close(p.sum(1), torch.ones_like(p[:, 0]))
        product *= p.flatten(1).gather(1, x[:, c].flatten(1).long()).squeeze(1)
    torch.testing.assert_close(product, lk.log_prob(params, x).exp(), rtol=1e-6, atol=1e-12)


@each_case
def test_probabilities_are_of_each_pixel(case: Case) -> None:
    lk = case.build(2, 3)
    g = torch.Generator().manual_seed(0)
    params = torch.randn(5, lk.num_params, 2, 3, generator=g, dtype=torch.float64)
    x = torch.randint(case.levels, (5, case.channels, 2, 3), generator=g, dtype=torch.uint8)
    for c in range(case.channels):
        whole = lk.probabilities(params, x[:, :c])
        one = lk.probabilities(params[3:4, :, 1:, 2:], x[3:4, :c, 1:, 2:])
        torch.testing.assert_close(whole[3:4, :, 1:, 2:], one)


@pytest.mark.parametrize("name", ["logistic", "gaussian-learned"])
def test_a_level_has_the_mass_of_the_continuous_density_between_its_edges(name: str) -> None:
    case = Case(name, 1, 17)
    lk = case.build()
    mu, s = 0.3, math.exp(-1.2)
    edges = torch.linspace(-1 - 1 / 16, 1 + 1 / 16, 18, dtype=torch.float64)
    t = (edges - mu) / s
    cdf = t.sigmoid() if name == "logistic" else torch.special.ndtr(t)
    cdf[0], cdf[-1] = 0, 1  # open tails
    log_p = lk.log_prob(make_params(lk, mu, -1.2, spread=0), case.images())
    torch.testing.assert_close(log_p.exp(), cdf.diff(), rtol=1e-10, atol=0)


@each_setting
@each_case
def test_value_and_gradient_are_finite_in_float32(case: Case, setting: str) -> None:
    lk = case.build()
    params = make_params(lk, *SETTINGS[setting]).float().requires_grad_()
    lk.float()
    log_p = lk.log_prob(params, case.images())
    assert log_p.isfinite().all()
    log_p.sum().backward()
    assert params.grad is not None
    assert params.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in lk.parameters())


@pytest.mark.parametrize("setting", ["moderate", "at-the-edge", "tiny", "far", "far-tiny"])
@each_case
def test_float32_agrees_with_float64(case: Case, setting: str) -> None:
    values, grads = [], []
    for dtype in (torch.float64, torch.float32):
        lk, x = case.build(), case.images()
        params = make_params(lk, *SETTINGS[setting]).to(dtype)
        params = params.repeat(len(x), 1, 1, 1).requires_grad_()
        log_p = lk.to(dtype).log_prob(params, x)
        assert log_p.dtype == dtype
        log_p.sum().backward()
        values.append(log_p.double())
        grads.append(params.grad.double())
    torch.testing.assert_close(values[1], values[0], rtol=2e-4, atol=2e-3)
    torch.testing.assert_close(grads[1], grads[0], rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("setting", ["moderate", "at-the-edge"])
@each_case
def test_samples_follow_the_probabilities(case: Case, setting: str) -> None:
    lk = case.build(20, 50)  # 20 images of 1000 equal pixels: 20k draws
    params = make_params(lk, *SETTINGS[setting])
    noise = SampleNoise(1, range(20), dtype=torch.float64)
    x = lk.sample(params.expand(20, -1, -1, -1), noise)
    assert x.shape == (20, *lk.shape)
    assert x.dtype == torch.uint8
    assert int(x.max()) < case.levels
    place = case.levels ** torch.arange(case.channels - 1, -1, -1)
    which = (x.long() * place.view(-1, 1, 1)).sum(1).flatten()
    counts = torch.bincount(which, minlength=case.levels**case.channels)
    one = case.build()
    p = one.log_prob(make_params(one, *SETTINGS[setting]), case.images()).exp()
    n = len(which)
    l1 = (counts / n - p).abs().sum()
    # the expectation of L1 under a true null, and four standard deviations (McDiarmid)
    assert l1 < math.sqrt(2 / (math.pi * n)) * p.sqrt().sum() + 4 / math.sqrt(n)


@each_case
def test_every_parameter_matters(case: Case) -> None:
    lk, x = case.build(), case.images()
    params = make_params(lk, *SETTINGS["moderate"]).requires_grad_()
    lk.log_prob(params, x)[:-1].sum().backward()
    assert params.grad is not None
    assert params.grad.abs().min() > 1e-8


@each_setting
@each_case
def test_samples_and_means_are_in_range(case: Case, setting: str) -> None:
    lk = case.build(2, 3).float()
    params = make_params(lk, *SETTINGS[setting]).float().expand(4, -1, -1, -1)
    x = lk.sample(params, SampleNoise(0, range(4)))
    assert x.dtype == torch.uint8
    assert x.shape == (4, *lk.shape)
    assert int(x.max()) < case.levels
    mean = lk.mean(params)
    assert mean.shape == x.shape
    assert ((mean >= 0) & (mean <= case.levels - 1)).all()


@each_case
def test_sample_k_does_not_depend_on_the_batch(case: Case) -> None:
    lk = case.build(3, 2)
    base = make_params(lk, *SETTINGS["moderate"])
    params = base + 0.3 * torch.randn(5, *base.shape[1:], dtype=torch.float64)
    together = lk.sample(params, SampleNoise(7, range(5)))
    alone = lk.sample(params[3:4], SampleNoise(7, [3]))
    assert torch.equal(together[3:4], alone)
    assert not torch.equal(together, lk.sample(params, SampleNoise(8, range(5))))


@pytest.mark.parametrize(
    "case",
    [
        *CASES[:2],
        *[Case(name, 1, n) for name in list(BUILD)[1:] for n in (17, 256)],
        Case("mixture", 3, 17),
    ],
    ids=str,
)
def test_mean_is_the_expectation_away_from_the_edges(case: Case) -> None:
    lk = case.build()
    params = make_params(lk, 0.1, math.log(0.08), spread=0.03)
    x = case.images()
    p = lk.log_prob(params, x).exp()
    expected = (p[:, None, None, None] * x.double()).sum(0)
    torch.testing.assert_close(lk.mean(params)[0], expected, rtol=0, atol=2e-3)


@each_case
def test_pixels_add_up(case: Case) -> None:
    one, four = case.build(), case.build(2, 2)
    x = case.images()
    log_one = one.log_prob(make_params(one, *SETTINGS["moderate"]), x)
    log_four = four.log_prob(make_params(four, *SETTINGS["moderate"]), x.expand(-1, -1, 2, 2))
    torch.testing.assert_close(log_four, 4 * log_one)


@each_case
def test_leading_dimensions_of_the_parameters_are_draws(case: Case) -> None:
    lk = case.build(2, 3)
    base = make_params(lk, *SETTINGS["moderate"])
    params = base + 0.1 * torch.randn(4, 5, *base.shape[1:], dtype=torch.float64)
    x = torch.randint(case.levels, (5, *lk.shape), dtype=torch.uint8)
    log_p = lk.log_prob(params, x)
    assert log_p.shape == (4, 5)
    torch.testing.assert_close(log_p, torch.stack([lk.log_prob(p, x) for p in params]))


def smooth_images(case: Case, n: int = 200) -> Tensor:
    """Return (n, C, 4, 6): a ramp of brightness, the same in each channel, with a little noise."""
    g = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0.05, 0.95, 24).view(1, 1, 4, 6)
    noise = 0.1 * torch.randn(n, 1, 4, 6, generator=g)
    y = (ramp + noise + 0.02 * torch.randn(n, case.channels, 4, 6, generator=g)).clamp(0, 1)
    return (y * (case.levels - 1)).round().to(torch.uint8)


@pytest.mark.parametrize(
    # a symmetric mixture of two levels gives both one half, as zeros do
    "case",
    [c for c in CASES if (c.name, c.levels) != ("mixture", 2)],
    ids=str,
)
def test_initial_parameters_fit_better_than_zeros(case: Case) -> None:
    lk, x = case.build(4, 6), smooth_images(case)
    params = lk.initial_params(x).double()
    assert params.shape == (lk.num_params, 4, 6)
    assert params.isfinite().all()
    fitted = lk.log_prob(params[None], x).mean()
    assert fitted > lk.log_prob(torch.zeros_like(params)[None], x).mean() + 1


def test_initial_parameters_survive_constant_pixels() -> None:
    x = torch.zeros(10, 1, 4, 6, dtype=torch.uint8)
    for case in CASES:
        lk = case.build(4, 6)
        params = lk.initial_params(x.expand(-1, case.channels, -1, -1)).double()
        assert lk.log_prob(params[None], x.expand(-1, case.channels, -1, -1)).isfinite().all()


def test_optimal_variance_is_the_mean_squared_error() -> None:
    shape, levels = (1, 4, 4), 256
    x = torch.randint(levels, (30, *shape), dtype=torch.uint8)
    params = torch.full((30, *shape), 0.1, dtype=torch.float64)  # a constant decoder
    mse = ((x.double() / 127.5 - 1) - 0.1).square().mean()
    optimal = DiscretizedGaussian(shape, levels, variance="optimal").double().train()
    learned = DiscretizedGaussian(shape, levels, variance="learned").double()
    learned.log_std.data.copy_(0.5 * mse.log())
    best = learned.log_prob(params, x)
    torch.testing.assert_close(optimal.log_prob(params, x), best)
    for other in (0.9, 1.1):
        learned.log_std.data.copy_(0.5 * mse.log() + math.log(other))
        assert learned.log_prob(params, x).sum() < best.sum()


def test_optimal_variance_is_remembered_for_evaluation() -> None:
    lk = DiscretizedGaussian((1, 4, 4), 256, variance="optimal").double()
    x = torch.randint(256, (30, 1, 4, 4), dtype=torch.uint8)
    params = torch.zeros(30, 1, 4, 4, dtype=torch.float64)
    for _ in range(300):
        lk.train().log_prob(params, x)
    mse = (x.double() / 127.5 - 1).square().mean()
    assert (2 * lk.log_std).exp().item() == pytest.approx(mse.item(), rel=1e-4)
    lk.eval()
    before = lk.log_std.clone()
    one = lk.log_prob(params[:1], x[:1])
    torch.testing.assert_close(lk.log_prob(params, x)[:1], one)
    assert torch.equal(lk.log_std, before)
    assert "log_std" in lk.state_dict()


def test_clamped_scale_is_the_smallest_scale() -> None:
    lk = Case("logistic", 1, 256).build()
    x = Case("logistic", 1, 256).images()
    at = [lk.log_prob(make_params(lk, 0.3, s), x) for s in (-7.0, -30.0)]
    assert torch.equal(*at)


@pytest.mark.parametrize("levels", [17, 256])
def test_bernoulli_refuses_grey_values_and_names_the_fix(levels: int) -> None:
    with pytest.raises(GdlError, match="likelihood=discretized_logistic"):
        Bernoulli((1, 8, 8), levels)


def test_gaussian_refuses_an_unknown_variance() -> None:
    with pytest.raises(GdlError, match="learned or optimal"):
        DiscretizedGaussian((1, 8, 8), 17, variance="fixed")


def test_default_likelihood_depends_on_the_levels() -> None:
    assert isinstance(default_likelihood((1, 8, 8), 2), Bernoulli)
    assert isinstance(default_likelihood((1, 8, 8), 17), DiscretizedLogistic)
    kinds = [type(default_conditional((1, 8, 8), levels)) for levels in (2, 17, 32, 256)]
    assert kinds == [Bernoulli, Categorical, Categorical, DiscretizedLogisticMixture]


@each_case
def test_temperature_sharpens(case: Case) -> None:
    lk = case.build(20, 50)
    params = make_params(lk, *SETTINGS["moderate"]).expand(20, -1, -1, -1)
    noise = lk.noise(SampleNoise(1, range(20), dtype=torch.float64), 20, 50)
    draws = [lk.draw(params, t * noise).double() for t in (0.0, 0.5, 1.0, 2.0)]
    spread = [float(x.var((0, 2, 3)).mean()) for x in draws]
    assert spread == sorted(spread)
    assert spread[0] == 0
