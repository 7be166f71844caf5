"""Where the rate of a VAE goes: against exact values, and as sentences, tables and pictures."""

import csv
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gdl.capabilities import Incapable
from gdl.data import Digits
from gdl.distributions import gaussian_kl, log_normal
from gdl.errors import GdlError
from gdl.evaluation import Host, latents
from gdl.evaluation.aggregate_posterior import information, marginal
from gdl.models import VAE, Autoencoder
from gdl.runs.collapse import active_latents, collapse
from gdl.tasks import traverse

SHAPE, LEVELS = (1, 8, 8), 17


def codes(covariance: Tensor, std: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return means (N, M), which are Gaussian, and log standard deviations of posteriors.

    With noise of these standard deviations they are those of a linear-Gaussian model.
    """
    torch.manual_seed(123)  # not the seed of the draws
    noise = torch.randn(n, len(std), dtype=torch.float64)
    # as many as they are, they have these moments exactly
    noise -= noise.mean(0)
    noise = noise @ torch.linalg.inv(torch.linalg.cholesky(noise.T @ noise / n)).T
    return noise @ torch.linalg.cholesky(covariance).T, std.log().expand(n, -1)


LINEAR = {
    "the prior": ([[0.75, 0.0], [0.0, 0.36]], [0.5, 0.8]),
    "shrunk": ([[0.3, 0.0], [0.0, 0.2]], [0.5, 0.5]),
    "correlated": ([[0.75, 0.6], [0.6, 0.75]], [0.5, 0.5]),
    "collapsed": ([[1e-12, 0.0], [0.0, 1e-12]], [1.0, 1.0]),
    "one of two": ([[0.91, 0.0], [0.0, 1e-12]], [0.3, 1.0]),
}


@pytest.mark.parametrize("case", LINEAR)
def test_the_parts_of_the_rate_are_those_of_a_linear_gaussian_model(case: str) -> None:
    """There q(z) is N(0, S) with S = covariance of the means + diag(std^2), so all is known."""
    covariance, std = (torch.tensor(v, dtype=torch.float64) for v in LINEAR[case])
    mean, log_std = codes(covariance, std, 1500)
    total = covariance + std.square().diag()
    exact = {
        "information": 0.5 * torch.logdet(total) - std.log().sum(),
        "kl": 0.5 * (total.trace() - 2 - torch.logdet(total)),
    }
    of_each = 0.5 * (total.diag() - 1 - total.diag().log())
    found = information(mean, log_std)
    error = 4 * float(found.std()) / 1500**0.5 + 0.01
    assert float(found.mean()) == pytest.approx(float(exact["information"]), abs=error)
    rate = gaussian_kl(mean, log_std).sum(1).mean()
    assert float(rate) == pytest.approx(float(exact["information"] + exact["kl"]), abs=1e-4)
    for j in range(2):
        m = marginal(mean[:, j], log_std[:, j])
        assert m.kl == pytest.approx(float(of_each[j]), abs=0.005)
        assert float(m.density.sum() * (m.z[1] - m.z[0])) == pytest.approx(1)


@pytest.mark.parametrize("spread", [0.2, 1.0, 5.0])
def test_rate_is_information_and_divergence_of_the_aggregate_posterior(spread: float) -> None:
    """Hoffman & Johnson (2016), with a second estimate of KL(q(z), p(z)) by other draws."""
    torch.manual_seed(1)
    mean = spread * torch.randn(600, 3, dtype=torch.float64)
    log_std = 0.3 * torch.randn(600, 3, dtype=torch.float64) - 0.5
    z = mean + log_std.exp() * torch.randn(20, 600, 3, dtype=torch.float64)
    q = torch.distributions.Normal(mean, log_std.exp())
    log_q = torch.stack([q.log_prob(one[:, None]).sum(-1).logsumexp(1) for one in z])
    kl = float((log_q - math.log(600) - log_normal(z)).mean())
    told = float(information(mean, log_std).mean())
    rate = float(gaussian_kl(mean, log_std).sum(1).mean())
    assert told + kl == pytest.approx(rate, abs=0.03, rel=0.005)
    assert told <= math.log(600)


def test_images_that_are_all_told_apart_give_the_logarithm_of_their_number() -> None:
    mean = torch.arange(50.0)[:, None] * 10
    found = information(mean, torch.full((50, 1), -9.0))
    torch.testing.assert_close(found, torch.full((50,), math.log(50), dtype=torch.float64))
    assert marginal(mean[:, 0], torch.full((50,), -9.0)).kl > 100


class Given(nn.Module):
    """An encoder whose codes are the pixels of the first row: latent j has this std, or is unused."""

    std: Tensor

    def __init__(self, std: list[float]) -> None:
        super().__init__()
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Tensor) -> Tensor:
        used = self.std < 1
        mean = torch.where(used, 2 * x.flatten(1)[:, : len(self.std)], 0)
        return torch.cat([mean, self.std.log().expand_as(mean)], -1)


class Shown(nn.Module):
    """A decoder that draws the latents as the logits of the first pixels."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, z: Tensor) -> Tensor:
        out = z.new_zeros(*z.shape[:-1], math.prod(self.shape))
        out[..., : z.shape[-1]] = z
        return out.unflatten(-1, self.shape)


def hand_made(std: list[float]) -> VAE:
    """Return a VAE of binary images with this encoder and decoder."""
    model = VAE(SHAPE, 2, len(std), lambda *_: Given(std), lambda _, shape: Shown(shape))
    return model.eval()


class Binary:
    """Images of independent random bits."""

    def images(self, split: str) -> Tensor:
        bits = torch.rand(400, *SHAPE, generator=torch.Generator().manual_seed(0)) < 0.5
        return bits.to(torch.uint8)

    def labels(self, split: str) -> None:
        return None


def test_the_measure_adds_up_and_writes_a_table_and_a_picture(tmp_path: Path) -> None:
    found = latents(hand_made([1.0, 0.2, 1.0, 0.5]), Binary(), host=Host(tmp_path))  # type: ignore
    assert (found["active_units"], found["latents/number"]) == (2, 4)
    m = {key.removeprefix("latents/"): value for key, value in found.items()}
    assert m["rate"] == pytest.approx(m["information"] + m["aggregate_kl"])
    assert m["aggregate_kl"] == pytest.approx(m["marginal_kl"] + m["total_correlation"])
    # two bits, the second with some noise, and independent ones
    assert m["information"] == pytest.approx(2 * math.log(2), abs=0.05)
    assert abs(m["total_correlation"]) < 0.05
    assert m["largest_information"] == pytest.approx(math.log(400))
    with (tmp_path / "latents.csv").open() as f:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(f)]
    assert [row["latent"] for row in rows] == [1, 3, 0, 2]
    assert [row["active"] for row in rows] == [1, 1, 0, 0]
    assert sum(row["kl"] for row in rows) == pytest.approx(m["rate"])
    assert sum(row["marginal_kl"] for row in rows) == pytest.approx(m["marginal_kl"])
    assert rows[0]["information"] == pytest.approx(math.log(2), abs=0.01)
    assert (tmp_path / "latents.png").stat().st_size > 10_000


def test_a_conditional_model_is_given_the_label_of_each_image(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = VAE(SHAPE, LEVELS, 4, num_classes=10).eval()
    digits = Digits(shape=SHAPE, levels=LEVELS)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    found = [latents(model, digits, batch_size=n, host=Host(tmp_path), limit=30) for n in (30, 7)]
    x, y = (part[:30] for part in (digits.images("test"), digits.labels("test")))  # type: ignore
    with torch.no_grad():
        rate = gaussian_kl(*model.posterior(x, y)).sum(1).mean()
    for numbers in found:
        assert numbers["latents/rate"] == pytest.approx(float(rate), rel=1e-4)


def test_a_model_without_finite_posteriors_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(GdlError, match="not finite"):
        latents(hand_made([math.nan, 0.5]), Binary(), host=Host(tmp_path))  # type: ignore


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (
            {"active_units": 3, "latents/number": 32},
            "3 of 32 latents are active; the others carry",
        ),
        ({"active_units": 1, "latents/number": 2}, "1 of 2 latents is active; the other carries"),
        ({"active_units": 32, "latents/number": 32}, None),
        ({"active_units": 3}, None),
        ({"active_units": 0, "latents/number": 32}, "no latent is active"),
        ({"active_units": 3, "latents/number": 32, "test/rate": 0.1}, "the rate is 0.1 nats"),
        ({"test/nll": 3.0}, None),
    ],
)
def test_collapse_is_told_in_a_sentence(metrics: dict[str, float], sentence: str | None) -> None:
    told = collapse(metrics)
    assert (told is None) if sentence is None else (told is not None and sentence in told)
    if told and "does not use" in told:
        assert active_latents(metrics) is None or "rate" in told


# ---- one latent at a time


def test_a_row_moves_one_latent_and_keeps_the_others() -> None:
    model, x = hand_made([1.0, 0.2, 1.0, 0.5]), Binary().images("test")
    found = traverse(model, x, index=3, units=3, steps=5, span=2.0)
    still, moving = found["traversal"], found["traversal_moving"]
    assert still.images.shape[:2] == (3, 6)
    assert moving.images.shape[:2] == (3, 5)
    assert (moving.moves, moving.still, still.still) == (True, False, True)
    torch.testing.assert_close(still.images[:, 0], x[3].float().expand(3, *SHAPE))
    torch.testing.assert_close(still.images[:, 1:], moving.images)
    own = model.encode(x[3:4])[0]
    z = torch.logit(moving.images.flatten(2)[..., :4].double(), eps=1e-9).float()
    for row, unit in enumerate([1, 3, 0]):
        expected = own.repeat(5, 1)
        expected[:, unit] = torch.linspace(-2, 2, 5)
        torch.testing.assert_close(z[row], expected, atol=1e-3, rtol=1e-3)
        assert still.rows[row].startswith(f"z{unit}: KL ")
        assert still.rows[row].endswith("nats, -2 to 2")
    assert list(still.columns) == ["image 3", "-2", "-1", "0", "+1", "+2"]
    assert "sorted by KL" in still.title
    assert "2 standard deviations of the prior" in still.title


def test_without_a_posterior_the_codes_of_the_data_are_walked() -> None:
    torch.manual_seed(0)
    digits = Digits(shape=SHAPE, levels=LEVELS)
    model, x = Autoencoder(SHAPE, LEVELS, 6).eval(), digits.images("test")
    found = traverse(model, x, units=2, steps=3, span=1.0)["traversal"]
    assert "variance" in found.title
    assert "of the codes of 297 images" in found.title
    with torch.no_grad():
        z = model.encode(x)
    first = int(z.var(0).argmax())
    low, high = (float(z.mean(0)[first] + s * z.std(0)[first]) for s in (-1, 1))
    assert (
        found.rows[0]
        == f"z{first}: variance {float(z.var(0)[first]):.2g}, {low:.2g} to {high:.2g}"
    )
    with pytest.raises(GdlError, match="reach must be prior or data"):
        traverse(model, x, reach="here")


def test_a_prior_is_asked_for_where_there_is_one() -> None:
    digits = Digits(shape=SHAPE, levels=LEVELS)
    model = Autoencoder(SHAPE, LEVELS, 6).eval()
    with pytest.raises(Incapable, match=r"task\.reach=prior asks for a prior"):
        traverse(model, digits.images("test"), reach="prior")
