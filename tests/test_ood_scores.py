"""Scores of foreign images: formulas on known densities, and theorems over the families."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import scipy.stats
import torch
from test_measures import LEVELS, SHAPE, build
from torch import Tensor
from torch.distributions import MultivariateNormal

from gdl.capabilities import Incapable
from gdl.data import Digits
from gdl.distributions import log_normal
from gdl.errors import GdlError
from gdl.evaluation.outliers import Images, Setting, dimension, dose, ratio, regret, waic
from gdl.evaluation.outliers.density_of_states import DENSITIES
from gdl.evaluation.outliers.intrinsic_dimension import intrinsic_dimension
from gdl.evaluation.outliers.model_statistics import model_statistics
from gdl.families.base import GenerativeModel
from gdl.models import NICE, VAE

N = 20
Score = Callable[..., Tensor]


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Digits:
    return Digits(shape=SHAPE, levels=LEVELS, data_dir=str(tmp_path_factory.mktemp("data")))


class Pixels(GenerativeModel):
    """Independent pixels with the same probabilities (levels,): a density known in closed form."""

    def __init__(self, probs: Tensor) -> None:
        super().__init__(SHAPE, LEVELS)
        self.log_probs = probs.log()
        self.register_buffer("unused", torch.zeros(1))

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        nll = -self.log_probs[x.long()].flatten(1).sum(1)
        return {"loss": nll, "nll": nll}


def pixels(weight: float) -> GenerativeModel:
    """Return pixels that are black with more probability than another level, by this factor."""
    probs = torch.ones(LEVELS, dtype=torch.float64)
    probs[0] = weight
    return Pixels(probs / probs.sum()).eval()


def images(
    model: GenerativeModel, x: Tensor, runs: dict[str, Any] | None = None, **options: Any
) -> Images:
    def open_run(spec: str) -> GenerativeModel:
        return model if runs is None else runs[spec]

    return Images(model, x, Setting(open_run=open_run, **options), "images")


def black_and_noise(n: int = 5) -> Tensor:
    noise = torch.randint(LEVELS, (n, *SHAPE), dtype=torch.uint8, generator=torch.Generator())
    return torch.cat([torch.zeros(n, *SHAPE, dtype=torch.uint8), noise])


# ---- the ratio


@pytest.mark.parametrize("name", ["made", "vae", "iwae", "flow"])
def test_the_ratio_with_itself_is_nothing(name: str, digits: Digits) -> None:
    x = digits.images("test")[:N]
    of = images(build(name), x)
    assert torch.equal(ratio(of, of, background="itself"), torch.zeros(N, dtype=torch.float64))


def test_the_ratio_is_the_difference_of_two_known_densities() -> None:
    x = black_and_noise()
    of = images(pixels(100), x, {"grey": pixels(1)})
    found = ratio(of, of, background="grey")
    count = (x == 0).flatten(1).sum(1).double()
    log_p = count * math.log(100 / 116) + (64 - count) * math.log(1 / 116)
    torch.testing.assert_close(found, -64 * math.log(17) - log_p)
    assert found[:5].max() < 0 < found[5:].min(), "black images are the model's, noise is not"


# ---- the ensemble


@pytest.mark.parametrize("name", ["made", "vae", "flow"])
def test_an_ensemble_of_equal_members_gives_the_nll(name: str, digits: Digits) -> None:
    of = images(build(name), digits.images("test")[:N])
    torch.testing.assert_close(waic(of, of, ensemble=["a", "b"]), of.nll)


def test_the_score_of_an_ensemble_is_mean_and_variance_of_known_densities() -> None:
    x = black_and_noise()
    runs = {str(w): pixels(w) for w in (1, 10, 100)}
    of = images(runs["1"], x, runs)
    nll = torch.stack([images(m, x).nll for m in runs.values()])
    found = waic(of, of, ensemble=["10", "100"])
    torch.testing.assert_close(found, nll.mean(0) + ((nll - nll.mean(0)) ** 2).sum(0) / 2)
    assert (found > nll.mean(0)).all(), "members that disagree make an image more foreign"


def test_an_ensemble_is_a_list_of_runs() -> None:
    of = images(pixels(1), black_and_noise())
    with pytest.raises(GdlError, match=r"must be a list of runs, e.g. \[outputs/x\]"):
        waic(of, of, ensemble="outputs/x")


# ---- the density of the model's own statistics


def test_a_kernel_density_is_the_product_of_scipys() -> None:
    generator = torch.Generator().manual_seed(0)
    t = torch.randn(200, 3, generator=generator, dtype=torch.float64) * torch.tensor([1, 5, 0.1])
    at = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    expected = sum(
        torch.from_numpy(scipy.stats.gaussian_kde(t[:, s]).logpdf(at[:, s])) for s in range(3)
    )
    torch.testing.assert_close(DENSITIES["kde"](t)(at), expected)


@pytest.mark.parametrize("values", [torch.zeros(9, 1), torch.full((9, 1), 1e6)], ids=["0", "1e6"])
@pytest.mark.parametrize("density", DENSITIES)
def test_a_statistic_that_is_constant_is_unusual_elsewhere(density: str, values: Tensor) -> None:
    score = DENSITIES[density](values.double())
    same, other = score(torch.cat([values[:1], values[:1] + 1]).double())
    assert math.isfinite(same)
    assert math.isfinite(other)
    assert same > other


@pytest.mark.parametrize("density", DENSITIES)
def test_images_with_unusual_statistics_are_foreign_also_where_they_are_too_likely(
    density: str,
) -> None:
    model, generator = pixels(3), torch.Generator().manual_seed(0)
    probs = model.log_probs.exp().expand(400 * 64, -1)
    own = torch.multinomial(probs, 1, generator=generator).view(400, *SHAPE).to(torch.uint8)
    train, test = images(model, own[:300]), images(model, own[300:])
    black = images(model, black_and_noise()[:5])
    assert black.nll.max() < test.nll.min(), "black images are the most likely ones"
    of_black, of_test = (dose(x, train, density=density) for x in (black, test))
    assert (of_black.min() > of_test).double().mean() > 0.95


@pytest.mark.parametrize("name", ["vae", "iwae", "flow", "made", "toy"])
def test_statistics_are_what_they_are_called(name: str, digits: Digits) -> None:
    model = build(name)
    x = torch.randn(N, 2) if name == "toy" else digits.images("test")[:N]
    with torch.no_grad():
        t = images(model, x).each(lambda part: model_statistics(model, part, 4), "statistics")
    assert t.isfinite().all()
    if name in ("vae", "iwae"):
        torch.testing.assert_close(t[:, 0], t[:, 1] + t[:, 2])  # nll = rate + distortion
        assert (t[:, 1] > 0).all()
    elif name == "made":
        torch.testing.assert_close(t[:, 0], t[:, 1] + t[:, 2])  # nll = upper + lower given upper
        other = x.clone()
        other[:, :, 4:] = 0
        with torch.no_grad():
            again = model_statistics(model, other, 4)
        torch.testing.assert_close(again[:, 1], t[:, 1], rtol=1e-4, atol=1e-4)
    else:
        torch.testing.assert_close(t[:, 0], t[:, 1] - t[:, 2])


def test_the_volume_of_a_flow_with_normal_latents_is_its_log_determinant() -> None:
    torch.manual_seed(0)
    model = NICE((2,), None, hidden=[8], prior="normal")
    x = torch.randn(N, 2)
    model.initialize(x)
    model.eval()
    with torch.no_grad():
        volume = model_statistics(model, x, 1)[:, 2]
        log_det = model.bijection(x)[1].double()
    torch.testing.assert_close(volume, log_det - math.log(2 * math.pi), rtol=1e-4, atol=1e-4)


# ---- the regret


@pytest.fixture(scope="module")
def lost() -> VAE:
    """A VAE with one latent whose encoder is wrong by some nats."""
    torch.manual_seed(0)
    model = VAE(SHAPE, LEVELS, 1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
        model.encoder[-1].bias += torch.tensor([1.5, 0.2])  # type: ignore[index, union-attr, operator]
    return model.eval()


def gap(model: VAE, x: Tensor) -> Tensor:
    """Return log p(x) - ELBO(x) (B,), both by quadrature over the latent."""
    z = torch.linspace(-40, 40, 4001)[:, None, None].expand(-1, len(x), 1)
    with torch.no_grad():
        log_px, log_pz = (part.double() for part in model.log_joint(x, z))
        mean, log_std = model.posterior(x)
        log_q = log_normal((z - mean) / log_std.exp()) - log_std.sum(-1)
    step = math.log(80 / 4000)
    log_p = (log_px + log_pz + step).logsumexp(0)
    weights = (log_q.double() + step).exp()
    elbo = (weights * (log_px + log_pz - log_q)).sum(0)
    return log_p - elbo


def test_the_regret_is_positive_and_at_most_the_gap_of_the_encoder(
    lost: VAE, digits: Digits
) -> None:
    x = digits.images("test")[:N]
    of, whole = images(lost, x), gap(lost, x)
    before = {k: v.clone() for k, v in lost.state_dict().items()}
    few, many = (regret(of, of, steps=steps) for steps in (3, 60))
    assert whole.mean() > 0.1
    assert (few >= 0).all()
    assert (many >= 0).all()
    assert (many <= whole + 0.2).all(), "no bound is above the likelihood"
    assert many.mean() > 0.8 * whole.mean(), "a posterior of one latent is nearly normal"
    assert few.mean() < many.mean()
    assert all(torch.equal(v, before[k]) for k, v in lost.state_dict().items())
    assert all(p.grad is None for p in lost.parameters())


def test_without_a_step_there_is_no_regret(lost: VAE, digits: Digits) -> None:
    of = images(lost, digits.images("test")[:N])
    assert torch.equal(regret(of, of, steps=0), torch.zeros(N, dtype=torch.float64))


def test_a_regret_is_found_within_inference(lost: VAE, digits: Digits) -> None:
    x = digits.images("test")[:5]
    with torch.inference_mode():
        within = regret(images(lost, x.clone()), images(lost, x))
    assert torch.equal(within, regret(images(lost, x), images(lost, x)))


# ---- the dimension


def linear(singular: list[float], seed: int = 0) -> Tensor:
    """Return a matrix (D, D) with these singular values."""
    generator, n = torch.Generator().manual_seed(seed), len(singular)
    u, v = (
        torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
        for _ in range(2)
    )
    return u @ torch.tensor(singular, dtype=torch.float64).diag() @ v


@pytest.mark.parametrize("scale", [0.03, 0.3, 3.0])
def test_the_dimension_is_the_slope_of_the_blurred_density(scale: float) -> None:
    j = linear([2.0, 1.0, 0.3, 0.05])
    z = torch.tensor([0.3, -1.0, 0.5, 2.0], dtype=torch.float64)
    r = torch.tensor(math.log(scale), dtype=torch.float64, requires_grad=True)
    blurred = j @ j.T + (2 * r).exp() * torch.eye(4, dtype=torch.float64)
    log_p = MultivariateNormal(torch.zeros(4, dtype=torch.float64), blurred).log_prob(j @ z)
    (slope,) = torch.autograd.grad(log_p, r)
    torch.testing.assert_close(intrinsic_dimension(j.inverse(), z, scale), 4 + slope)


@pytest.mark.parametrize("dims", [0, 1, 3, 6])
def test_a_density_on_a_plane_has_the_dimension_of_the_plane(dims: int) -> None:
    j = linear([1.0] * dims + [1e-4] * (6 - dims))
    z = torch.full((6,), 0.5, dtype=torch.float64)
    found = intrinsic_dimension(j.inverse(), z, 0.02)
    assert float(found) == pytest.approx(dims, abs=0.02)


def test_the_jacobian_of_a_flow_is_whole(digits: Digits, monkeypatch: Any) -> None:
    model, x = build("flow"), digits.images("test")[:2]
    monkeypatch.setattr("gdl.evaluation.outliers.intrinsic_dimension.ROWS", 13)  # 64 are 4 parts
    of = images(model, x)
    found = dimension(of, of, scale=0.1)
    expected = []
    for image in x:
        y = model.middle(image[None])
        jacobian = torch.autograd.functional.jacobian(lambda y: model.latents(y)[0], y)
        z = model.latents(y)[0].detach()
        expected.append(-intrinsic_dimension(jacobian.view(64, 64), z, 0.1))
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-3, atol=1e-3)


# ---- what holds for all

SCORES: dict[str, tuple[Score, dict[str, Any], set[str]]] = {
    "ratio": (ratio, {"background": "x"}, {"made", "vae", "iwae", "flow", "toy"}),
    "waic": (waic, {"ensemble": ["x"]}, {"made", "vae", "iwae", "flow", "toy"}),
    "dose": (dose, {"draws": 3}, {"made", "vae", "iwae", "flow", "toy"}),
    "dose-kde": (dose, {"draws": 3, "density": "kde"}, {"made", "vae", "iwae", "flow", "toy"}),
    "regret": (regret, {"steps": 3}, {"vae", "iwae"}),
    "dimension": (dimension, {}, {"flow"}),
}
"""By name: the score, options for a test, and the models that are capable."""


def shaken(model: GenerativeModel) -> GenerativeModel:
    """Return the model with other parameters."""
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.05)
    return model


@pytest.mark.parametrize("name", ["made", "vae", "iwae", "flow", "toy", "ae"])
@pytest.mark.parametrize("label", SCORES)
def test_a_score_is_of_its_image_alone_or_the_model_is_told_what_it_lacks(
    label: str, name: str, digits: Digits
) -> None:
    score, options, capable = SCORES[label]
    continuous = name == "toy"
    x = torch.randn(12, 2) if continuous else digits.images("test")[:12]
    own = torch.randn(30, 2) if continuous else digits.images("train")[:30]
    runs = {"x": shaken(build(name))}
    ask = lambda x, **setting: score(  # noqa: E731
        images(build(name), x, runs, **setting), images(build(name), own, runs), **options
    )
    if name not in capable:
        with pytest.raises(Incapable, match=r"^it asks for .*: use a run of model=.*\.$"):
            ask(x)
        return
    found = ask(x)
    assert found.shape == (12,)
    assert found.dtype == torch.float64
    assert found.isfinite().all()
    for other in (ask(x, batch_size=5), torch.cat([ask(x[7:]), ask(x[:7])]).roll(7)):
        torch.testing.assert_close(other, found, rtol=1e-4, atol=1e-4)
    if label != "dimension" and name not in ("made", "toy"):
        assert not torch.equal(ask(x, seed=1), found), "the seed counts where there are draws"


@pytest.mark.parametrize(
    ("score", "fix"), [(ratio, "ood.background=RUN"), (waic, "ood.ensemble=[RUN,RUN]")]
)
def test_a_run_that_is_not_named_is_asked_for(score: Score, fix: str) -> None:
    of = images(pixels(1), black_and_noise())
    with pytest.raises(Incapable, match=r"^it asks for a.*: train .*, and name ") as refused:
        score(of, of)
    assert str(refused.value).endswith(f"{fix}.")


def test_a_dimension_that_would_take_too_long_is_not_begun() -> None:
    of = images(build("flow"), black_and_noise())
    with pytest.raises(Incapable, match=r"it takes 64 passes for each: raise ood\.max_dims to 64"):
        dimension(of, of, max_dims=63)
    logistic = NICE(SHAPE, LEVELS, hidden=[8]).eval()
    with pytest.raises(Incapable, match="it asks for normal latents, and those of this NICE are"):
        dimension(images(logistic, black_and_noise()), of)


def test_one_training_image_has_no_density() -> None:
    of = images(pixels(1), black_and_noise())
    with pytest.raises(Incapable, match="at least 2 training images"):
        dose(of, images(pixels(1), black_and_noise()[:1]))


def test_a_density_that_is_none_is_refused() -> None:
    of = images(pixels(1), black_and_noise())
    with pytest.raises(GdlError, match=r"ood\.density must be svm or kde, got 'knn'"):
        dose(of, of, density="knn")
