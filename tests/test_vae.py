"""The VAE's terms against a linear-Gaussian model, whose evidence has a closed form."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gdl.distributions import Likelihood, gaussian_kl
from gdl.errors import GdlError
from gdl.evaluation import active_units, importance_weighted_bound, rate_distortion
from gdl.families.streaming import StreamingLogMeanExp
from gdl.models.vae import VAE
from gdl.nn.mlp import MLPDecoder, MLPEncoder
from gdl.noise import SampleNoise, seed_noise

SHAPE, LEVELS, M, SIGMA = (1, 2, 3), 256, 2, 0.4
D = math.prod(SHAPE)


class FixedGaussian(Likelihood):
    """A density of the scaled pixels, N(params, SIGMA^2)."""

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        normal = torch.distributions.Normal(params, SIGMA)
        return normal.log_prob(self._scaled(x, params)).flatten(-3).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        return self._unscaled(params)

    def noise(self, source: SampleNoise, height: int, width: int) -> Tensor:
        return source.normal(self.shape[0], height, width)

    def draw(self, params: Tensor, noise: Tensor) -> Tensor:
        return self._to_level(params + SIGMA * noise)

    def initial_params(self, x: Tensor) -> Tensor:
        return self._scaled(x, torch.empty(())).mean(0)


class LinearEncoder(nn.Sequential):
    def __init__(self, shape: Any, out_features: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(math.prod(shape), out_features))


class LinearDecoder(nn.Module):
    def __init__(self, in_features: int, shape: Any) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.linear = nn.Linear(in_features, math.prod(shape), bias=False)

    def forward(self, z: Tensor) -> Tensor:
        return self.linear(z).unflatten(-1, self.shape)


def build(**options: Any) -> VAE:
    """Return a small VAE in float64."""
    arguments: dict[str, Any] = {
        "shape": SHAPE,
        "levels": LEVELS,
        "latent_dim": M,
        "encoder": LinearEncoder,
        "decoder": LinearDecoder,
        "likelihood": FixedGaussian,
    }
    torch.manual_seed(0)
    return VAE(**(arguments | options)).double()


@torch.no_grad()
def linear_gaussian(wrong: float = 0.0, **options: Any) -> VAE:
    """Return a model whose encoder is its exact posterior; `wrong` displaces the encoder.

    y = b + W z + SIGMA e with orthogonal columns of W has a posterior with diagonal covariance
    1 / (1 + |w_j|^2 / SIGMA^2) and mean covariance * W^T (y - b) / SIGMA^2.
    """
    model = build(**options)
    g = torch.Generator().manual_seed(1)
    w = torch.linalg.qr(torch.randn(D, M, generator=g, dtype=torch.float64)).Q
    w = w * torch.tensor([0.9, 0.4], dtype=torch.float64)
    b = 0.2 * torch.randn(D, generator=g, dtype=torch.float64)
    model.decoder.linear.weight.copy_(w)
    model.offset.copy_(b.view(SHAPE))
    var = 1 / (1 + w.square().sum(0) / SIGMA**2)
    to_mean = var[:, None] * w.T / SIGMA**2
    head = model.encoder[1]
    head.weight.copy_(torch.cat([to_mean, torch.zeros_like(to_mean)]))
    head.bias.copy_(torch.cat([-to_mean @ b + wrong, 0.5 * var.log() + wrong]))
    return model


def images(n: int = 4, seed: int = 0, levels: int = LEVELS) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(levels, (n, *SHAPE), generator=g, dtype=torch.uint8)


@torch.no_grad()
def evidence(model: VAE, x: Tensor) -> Tensor:
    """Return log N(y; b, W W^T + SIGMA^2 I), (B,)."""
    w = model.decoder.linear.weight
    cov = w @ w.T + SIGMA**2 * torch.eye(D, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(model.offset.flatten(), cov)
    return normal.log_prob(model.scale(x).flatten(1))


def mean_error(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard error over the first dimension."""
    return values.mean(0), values.std(0) / math.sqrt(len(values))


# ---- bounds


def test_every_weight_is_the_evidence_at_the_exact_posterior() -> None:
    model, x = linear_gaussian(), images()
    log_px, log_ratio = model.log_weights(x, 7)
    expected = evidence(model, x).expand(7, -1)
    # tight, so that a conversion to float32 on the way would show
    torch.testing.assert_close(log_px + log_ratio, expected, rtol=1e-12, atol=1e-12)


def test_log_joint_is_likelihood_and_prior() -> None:
    model, x = linear_gaussian(), images()
    z = torch.randn(5, 4, M, dtype=torch.float64)
    log_px, log_pz = model.log_joint(x, z)
    assert log_px.shape == log_pz.shape == (5, 4)
    prior = torch.distributions.Normal(torch.zeros(M, dtype=torch.float64), 1.0)
    torch.testing.assert_close(log_pz, prior.log_prob(z).sum(-1))
    expected = model.likelihood.log_prob(model.decoder(z[2]) + model.offset, x)
    torch.testing.assert_close(log_px[2], expected)


@torch.no_grad()
def test_negative_elbo_is_the_evidence_on_average_at_the_exact_posterior() -> None:
    model, x = linear_gaussian(), images()
    draws = torch.stack([model.loss(x)["nll"] for _ in range(2000)])
    mean, error = mean_error(draws)
    assert ((mean + evidence(model, x)).abs() < 5 * error).all()


@torch.no_grad()
def test_elbo_gap_is_the_divergence_from_the_exact_posterior() -> None:
    model, exact, x = linear_gaussian(wrong=0.4), linear_gaussian(), images()
    moments = (model.posterior(x), exact.posterior(x))
    q, p = (torch.distributions.Normal(m, s.exp()) for m, s in moments)
    gap = torch.distributions.kl_divergence(q, p).sum(-1)
    draws = torch.stack([model.loss(x)["nll"] for _ in range(2000)])
    mean, error = mean_error(draws)
    assert ((mean + evidence(model, x) - gap).abs() < 5 * error).all()


@torch.no_grad()
def test_bounds_rise_with_the_number_of_samples_up_to_the_evidence() -> None:
    x = images(3)
    log_p = evidence(linear_gaussian(), x)
    bounds = {}
    for k in (1, 5, 50):
        n = 10_000 // k
        model = linear_gaussian(wrong=0.4, num_importance_samples=k)
        torch.manual_seed(k)
        nll = model.loss(x.repeat(n, 1, 1, 1))["nll"].view(n, 3)
        bounds[k] = mean_error(-nll)
    for low, high in ((1, 5), (5, 50)):
        error = (bounds[low][1].square() + bounds[high][1].square()).sqrt()
        assert (bounds[high][0] - bounds[low][0] > 3 * error).all()
    mean, error = bounds[50]
    assert (mean < log_p + 4 * error).all()
    assert (mean > log_p - 0.05).all()


@torch.no_grad()
def test_streamed_bound_reaches_the_evidence() -> None:
    model, x = linear_gaussian(wrong=0.4).eval(), images()
    bound, effective = importance_weighted_bound(model, x.split(3), 5000)
    torch.testing.assert_close(-bound, evidence(model, x), rtol=0, atol=0.05)
    assert (effective > 100).all()


# ---- the divergence


@torch.no_grad()
def test_gaussian_kl_is_that_of_torch_and_of_monte_carlo() -> None:
    g = torch.Generator().manual_seed(0)
    mean, log_std = torch.randn(2, 5, 3, generator=g, dtype=torch.float64)
    kl = gaussian_kl(mean, log_std)
    q, p = torch.distributions.Normal(mean, log_std.exp()), torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(kl, torch.distributions.kl_divergence(q, p))
    torch.manual_seed(0)
    z = q.sample((20_000,))
    estimate, error = mean_error(q.log_prob(z) - p.log_prob(z))
    assert ((kl - estimate).abs() < 5 * error).all()
    assert gaussian_kl(torch.zeros(3), torch.zeros(3)).abs().max() == 0


# ---- what enters the loss and what enters nll


def terms(x: Tensor, weight: float | None = None, **options: Any) -> dict[str, Tensor]:
    model = linear_gaussian(wrong=0.4, **options)
    if weight is not None:
        model.kl_weight.fill_(weight)
    torch.manual_seed(3)
    return model.loss(x)


OPTIONS = {
    "beta": {"beta": 4.0},
    "warm-up": {"kl_warmup_steps": 10},
    "half-way": {"kl_warmup_steps": 10, "weight": 0.5, "beta": 4.0},
    "free-bits": {"free_bits": 3.0},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_weights_of_the_rate_change_the_loss_but_not_nll(name: str) -> None:
    x = images()
    plain, other = terms(x), terms(x, **OPTIONS[name])
    assert (plain["loss"] - other["loss"]).abs().min() > 0.1
    for term in ("nll", "elbo", "rate", "distortion"):
        assert torch.equal(plain[term], other[term])


def test_terms_add_up() -> None:
    x = images()
    for k in (1, 5):
        t = terms(x, num_importance_samples=k)
        assert all(v.shape == (4,) for v in t.values())
        torch.testing.assert_close(t["elbo"], -(t["distortion"] + t["rate"]))
        torch.testing.assert_close(t["loss"], t["nll"])
    torch.testing.assert_close(terms(x)["nll"], -terms(x)["elbo"])
    t = terms(x, beta=4.0, kl_warmup_steps=10, weight=0.5)
    torch.testing.assert_close(t["loss"], t["distortion"] + 2 * t["rate"])
    t = terms(x, kl_warmup_steps=10)
    torch.testing.assert_close(t["loss"], t["distortion"])


def test_warmup_follows_the_step_and_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(kl_warmup_steps=10)
    for step, weight in ((0, 0.0), (5, 0.5), (10, 1.0), (99, 1.0)):
        monkeypatch.setattr(VAE, "global_step", step)
        model.on_train_batch_start(images(), 0)
        assert model.kl_weight.item() == weight
    assert "kl_weight" in model.state_dict()
    assert build().kl_weight.item() == 1


def test_free_bits_bound_the_rate_of_each_latent_from_below() -> None:
    x, limit = images(), 0.3
    model = linear_gaussian(wrong=0.4, free_bits=limit)
    t = model.loss(x)
    kl = gaussian_kl(*model.posterior(x)).mean(0)
    assert kl.min() < limit < kl.max()  # both cases occur
    expected = t["distortion"].mean() + kl.clamp(min=limit).sum()
    torch.testing.assert_close(t["loss"].mean(), expected)


@pytest.mark.parametrize("free_bits", [0.0, 0.5])
def test_free_bits_leave_a_collapsed_latent_alone(free_bits: float) -> None:
    model = linear_gaussian(free_bits=free_bits)
    head = model.encoder[1]
    with torch.no_grad():
        model.decoder.linear.weight[:, 0] = 0  # nobody uses latent 0
        head.weight[[0, M]] = 0
        head.bias[[0, M]] = 0.1
        head.bias[1] = 3.0
    model.loss(images())["loss"].mean().backward()
    collapsed = torch.cat([head.weight.grad[[0, M]].flatten(), head.bias.grad[[0, M]]])
    used = head.weight.grad[[1, M + 1]]
    assert used.abs().min() > 0
    assert (collapsed.abs().max() == 0) == (free_bits > 0)


def test_pixels_and_latents_are_summed() -> None:
    """Twice the pixels give twice the distortion, twice the latents twice the rate."""

    def of(width: int, latents: int) -> dict[str, Tensor]:
        model = build(shape=(1, 2, width), latent_dim=latents)
        for p in model.parameters():
            nn.init.zeros_(p)
        nn.init.constant_(model.encoder[1].bias, 0.3)
        return model.loss(torch.full((2, 1, 2, width), 200, dtype=torch.uint8))

    torch.testing.assert_close(of(6, 2)["distortion"], 2 * of(3, 2)["distortion"])
    torch.testing.assert_close(of(3, 4)["rate"], 2 * of(3, 2)["rate"])


# ---- importance weights


def test_gradient_weights_favour_the_best_sample() -> None:
    model, x = linear_gaussian(num_importance_samples=5), images()
    g = torch.Generator().manual_seed(0)
    log_px, log_ratio = 3 * torch.randn(2, 5, 4, generator=g, dtype=torch.float64)
    leaves = (log_px.requires_grad_(), log_ratio.requires_grad_())
    model.log_weights = lambda x, k: leaves
    model.loss(x)["loss"].sum().backward()
    weights = (log_px + log_ratio).detach().softmax(0)
    for leaf in leaves:
        torch.testing.assert_close(-leaf.grad, weights)


def recorded(model: VAE) -> list[Tensor]:
    """Let the model note the log weights that it returns, (k, B) per call."""
    calls: list[Tensor] = []
    original: Callable[..., tuple[Tensor, Tensor]] = model.log_weights

    def log_weights(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        log_px, log_ratio = original(x, k)
        calls.append(log_px + log_ratio)
        return log_px, log_ratio

    model.log_weights = log_weights
    return calls


@pytest.mark.parametrize(
    ("k", "chunk"), [(1, 4000), (7, 10), (7, 1), (13, 15), (50, 200), (3, 4000)]
)
def test_every_number_of_samples_is_honoured(k: int, chunk: int) -> None:
    model, x = linear_gaussian(wrong=0.4).eval(), images(5)
    calls = recorded(model)
    bound, effective = importance_weighted_bound(model, [x], k, chunk=chunk)
    assert max(len(c) for c in calls) <= max(1, chunk // 5)
    log_w = torch.cat(calls)
    assert log_w.shape == (k, 5)
    torch.testing.assert_close(bound, math.log(k) - log_w.logsumexp(0))
    w = log_w.softmax(0)
    torch.testing.assert_close(effective, 1 / w.square().sum(0))
    assert ((effective >= 1 - 1e-9) & (effective <= k + 1e-9)).all()


def test_one_sample_is_an_elbo_sample() -> None:
    model, x = linear_gaussian(wrong=0.4).eval(), images(3)
    bound, effective = importance_weighted_bound(model, [x], 1, seed=5)
    seed_noise(model.device, "iwae", 5, 0)
    log_px, log_ratio = model.log_weights(x, 1)
    torch.testing.assert_close(bound, -(log_px + log_ratio)[0].detach())
    torch.testing.assert_close(effective, torch.ones(3, dtype=torch.float64))
    many = x.repeat(3000, 1, 1, 1)
    draws, _ = importance_weighted_bound(model, [many], 1)
    mean, error = mean_error(draws.view(3000, 3))
    exact, exact_error = mean_error(-rate_distortion(model, [many])["elbo"].view(3000, 3))
    assert ((mean - exact).abs() < 5 * (error.square() + exact_error.square()).sqrt()).all()


def test_streaming_log_mean_exp_is_the_direct_one() -> None:
    g = torch.Generator().manual_seed(0)
    log_w = 500 * torch.randn(23, 4, generator=g, dtype=torch.float64) - 90_000
    stream = StreamingLogMeanExp()
    for part in log_w.split([1, 7, 10, 5]):
        stream.add(part)
    torch.testing.assert_close(stream.value(), log_w.logsumexp(0) - math.log(23))
    torch.testing.assert_close(stream.effective_samples(), 1 / log_w.softmax(0).square().sum(0))
    equal = StreamingLogMeanExp()
    equal.add(torch.full((6, 2), -100.0))
    torch.testing.assert_close(equal.effective_samples(), torch.full((2,), 6.0).double())


@pytest.mark.parametrize("option", [{"beta": 4.0}, {"kl_warmup_steps": 10}, {"free_bits": 0.1}])
def test_importance_samples_refuse_weights_of_the_rate(option: dict[str, float]) -> None:
    with pytest.raises(GdlError, match="beta=1"):
        build(num_importance_samples=5, **option)


def test_the_kind_of_nll_is_named() -> None:
    assert build().nll_kind == "bound"
    assert build(num_importance_samples=5).nll_kind == "iwae-5"


@torch.no_grad()
def test_rate_distortion_agrees_with_the_loss() -> None:
    model, x = linear_gaussian(wrong=0.4).eval(), images(3).repeat(1000, 1, 1, 1)
    found = rate_distortion(model, x.split(700))
    t = model.loss(x)
    torch.testing.assert_close(found["rate"], t["rate"])
    torch.testing.assert_close(found["elbo"], -(found["rate"] + found["distortion"]))
    a, a_error = mean_error(found["distortion"].view(1000, 3))
    b, b_error = mean_error(t["distortion"].view(1000, 3))
    assert ((a - b).abs() < 5 * (a_error.square() + b_error.square()).sqrt()).all()


# ---- capabilities


def small_vae(levels: int = 17) -> VAE:
    """Return a VAE with networks and the default likelihood."""
    torch.manual_seed(0)
    networks = {
        "encoder": lambda s, n: MLPEncoder(s, n, hidden=[16]),
        "decoder": lambda n, s: MLPDecoder(n, s, hidden=[16]),
    }
    return VAE(SHAPE, levels, 3, **networks).double().eval()


@torch.no_grad()
def test_codes_and_reconstructions_are_not_random() -> None:
    model, x = small_vae(), images(levels=17)
    z = model.encode(x)
    assert z.shape == (4, *model.latent_shape)
    assert torch.equal(z, model.encode(x))
    y = model.decode(z)
    assert y.shape == x.shape
    assert torch.equal(y, model.decode(z))
    assert ((y >= 0) & (y <= 16)).all()


@pytest.mark.parametrize("mean", [False, True])
@torch.no_grad()
def test_sample_k_is_the_same_for_every_number_of_samples(mean: bool) -> None:
    model = small_vae()
    one, three, many = (model.sample(n, seed=4, mean=mean) for n in (1, 3, 130))
    assert many.shape == (130, *SHAPE)
    torch.testing.assert_close(many[:3], three)
    torch.testing.assert_close(three[:1], one)
    assert not torch.equal(model.sample(3, seed=5, mean=mean), three)
    assert len(many.flatten(1).unique(dim=0)) > 100


@torch.no_grad()
def test_samples_are_integers_in_range() -> None:
    for levels in (2, 17, 256):
        x = small_vae(levels).sample(20)
        assert x.dtype == torch.uint8
        assert int(x.max()) < levels


@torch.no_grad()
def test_temperature_scales_the_prior() -> None:
    model = small_vae()
    cold, warm = (model.sample(6, temperature=t, mean=True) for t in (0.0, 1.0))
    torch.testing.assert_close(cold, cold[:1].expand_as(cold))
    torch.testing.assert_close(cold[:1], model.decode(torch.zeros(1, 3, dtype=torch.float64)))
    assert len(warm.flatten(1).unique(dim=0)) == 6


@torch.no_grad()
def test_samples_follow_the_model() -> None:
    """First and second moments of y = b + W z + SIGMA e, where no pixel is cut off."""
    model = linear_gaussian().eval()
    model.decoder.linear.weight.mul_(0.3)
    y = model.scale(model.sample(4000, mean=True)).flatten(1)
    w = model.decoder.linear.weight
    torch.testing.assert_close(y.mean(0), model.offset.flatten(), rtol=0, atol=0.03)
    torch.testing.assert_close(y.T.cov(), w @ w.T, rtol=0, atol=0.01)


def test_a_dead_latent_is_not_an_active_unit() -> None:
    model, x = small_vae(), images(50, levels=17)
    last = model.encoder[-1]
    with torch.no_grad():
        last.weight.mul_(10)
    data: Any = SimpleNamespace(images=lambda split: x)
    assert active_units(model, data, batch_size=20)["active_units"] == 3
    with torch.no_grad():
        last.weight[1] = 0
        last.bias[1] = 5.0  # far from the prior, but the same for all images
    assert active_units(model, data, batch_size=20)["active_units"] == 2


@torch.no_grad()
def test_initialize_starts_from_independent_pixels() -> None:
    model, x = small_vae(), images(30, levels=17)
    before = model.loss(x)["distortion"].mean()
    model.initialize(x)
    assert torch.equal(model.offset, model.likelihood.initial_params(x).double())
    assert model.loss(x)["distortion"].mean() < before
