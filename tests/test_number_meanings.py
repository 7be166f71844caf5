"""Each number is what its name says: units, bounds, counts, temperatures, of all that have them."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import test_flow_models as flows
import test_measures as table
import torch
from small_models import build_small
from torch import Tensor

import gdl.models
from gdl import evaluation, tasks
from gdl.capabilities import InitializesFromData, Samples
from gdl.data import Digits
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.base import GenerativeModel
from gdl.models import VAE, Autoencoder

SHAPE, LEVELS = table.SHAPE, table.LEVELS
N = 30


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return Digits(shape=SHAPE, levels=LEVELS, data_dir=str(tmp_path_factory.mktemp("data")))


# ---- units


WITH_BITS = [(m, n) for m, (_, by) in table.MEASURES.items() for n in by if n != "toy"]


@pytest.mark.parametrize(("measure", "name"), WITH_BITS)
def test_all_bits_are_nats_per_pixel_in_bits(measure: str, name: str, digits: Digits) -> None:
    if measure == "distances":
        return
    found = getattr(evaluation, measure)(
        table.build(name), digits, limit=N, **table.MEASURES[measure][0]
    )
    pixels = 32 if measure == "conditional" else 64  # of the left half, of the whole image
    for key, value in found.items():
        if "/bpd" in key and not key.startswith("code-"):  # a code has no nats of its own
            nats = found[key.replace("/bpd", "/nll")]
            assert value == pytest.approx(nats / (pixels * math.log(2)), rel=1e-9), key


def test_the_standard_error_is_that_of_the_mean(digits: Digits) -> None:
    model = table.build("made")
    with torch.no_grad():
        nll = model.nll(digits.images("test")[:N]).double()
    found = evaluation.bits(model, digits, limit=N)
    assert found["test/nll"] == pytest.approx(float(nll.mean()), rel=1e-6)
    variance = float((nll - nll.mean()).square().sum() / (N - 1))
    assert found["test/nll_se"] == pytest.approx(math.sqrt(variance / N), rel=1e-5)


def test_the_error_of_an_autoencoder_is_in_units_of_the_range(digits: Digits) -> None:
    """loss is the sum over pixels of squared errors in [0, 1], mse their mean."""
    torch.manual_seed(0)
    model = Autoencoder(SHAPE, LEVELS, 4).eval()
    x = digits.images("test")[:N]
    with torch.no_grad():
        for p in model.decoder.parameters():
            p.mul_(0.5)  # inside of the range, where `decode` cuts nothing off
        error = (model.reconstruct(x) - x).div(LEVELS - 1).square().flatten(1)
        found = model.loss(x)
    torch.testing.assert_close(found["loss"], error.sum(1))
    torch.testing.assert_close(found["mse"], error.mean(1))
    measured = evaluation.bits(model, digits, limit=N)
    assert measured["test/mse"] == pytest.approx(float(error.mean()), rel=1e-5)
    black = torch.zeros(1, *SHAPE, dtype=torch.uint8)
    with torch.no_grad():
        for p in model.decoder.parameters():
            p.zero_()
        p += 1  # the last bias: white
    assert float(model.loss(black)["mse"]) == pytest.approx(1)


# ---- bounds and counts


def wrong_posterior(k: int = 1) -> VAE:
    """Return a model whose ELBO is some nats from its importance-weighted bounds."""
    torch.manual_seed(0)
    model = VAE(SHAPE, LEVELS, 4, num_importance_samples=k).eval()
    with torch.no_grad():
        model.encoder[-1].bias.add_(0.7)  # type: ignore[index, union-attr, operator]
    return model


@torch.no_grad()
def test_an_importance_weighted_bound_is_no_elbo(digits: Digits) -> None:
    """In `measure=iwae`, in the nll of a model that was trained on it, and in `model.nll`."""
    model, x = wrong_posterior(), digits.images("test")[:N]
    torch.manual_seed(1)
    log_px, log_ratio = model.log_weights(x, 500)
    bound = float((math.log(500) - (log_px + log_ratio).double().logsumexp(0)).mean())
    elbo = float(-(log_px + log_ratio).double().mean())
    assert elbo - bound > 0.5
    found = evaluation.iwae(model, digits, k=500, limit=N)
    assert found["iwae-500/nll"] == pytest.approx(bound, abs=0.1)
    assert float(model.nll(x, k=500).mean()) == pytest.approx(bound, abs=0.1)
    assert evaluation.bits(model, digits, limit=N)["test/nll"] == pytest.approx(elbo, abs=0.3)
    trained = evaluation.bits(wrong_posterior(k=200), digits, limit=N)
    assert trained["test/nll"] < -trained["test/elbo"] - 0.4


@pytest.mark.parametrize("deviation", [0.02, 0.09, 0.11, 3.0])
def test_a_unit_is_active_by_the_variance_of_its_mean(deviation: float) -> None:
    """Above 0.01, so by a deviation above 0.1; wherever the mean lies."""
    model = table.build("vae")
    z = torch.linspace(-1, 1, N)
    z = z / z.std()
    index = torch.arange(N, dtype=torch.uint8).view(N, 1, 1, 1).expand(N, *SHAPE)
    means = torch.stack([deviation * z + 5, 7 + 0 * z, 0 * z], 1)

    def posterior(x: Tensor) -> tuple[Tensor, Tensor]:
        return means[x[:, 0, 0, 0].long()], torch.zeros(len(x), 3)

    model.posterior = posterior
    data: Any = SimpleNamespace(images=lambda split: index)
    found = evaluation.active_units(model, data, batch_size=7)
    assert found["active_units"] == int(deviation > 0.1)


SEEDED = [("bits", "vae"), ("bits", "flow"), ("iwae", "vae"), ("dequantization", "flow")]


@pytest.mark.parametrize(("measure", "name"), SEEDED)
def test_a_seed_seeds_all_draws_and_batches_differ_in_them(
    measure: str, name: str, digits: Digits
) -> None:
    model = table.build(name)
    options = {k: v for k, v in table.MEASURES[measure][0].items() if k == "k"}
    # one image eight times, in four batches
    data: Any = SimpleNamespace(images=lambda split: digits.images("test")[:1].repeat(8, 1, 1, 1))
    call = lambda **o: getattr(evaluation, measure)(model, data, **options, **o)  # noqa: E731
    first = call(seed=1, batch_size=2)
    assert call(seed=1, batch_size=2) == first
    key = next(k for k in first if k.endswith("/nll"))
    assert call(seed=2, batch_size=2)[key] != first[key]
    # equal draws in all batches would give the values of two images, four times
    two = call(seed=1, batch_size=2, limit=2)
    assert two[key] != pytest.approx(first[key], rel=1e-9)


# ---- temperatures


@flows.each_flow
@torch.no_grad()
def test_the_temperature_multiplies_all_latents_of_a_flow(name: str) -> None:
    model = flows.build(name).double()
    z = {t: model.bijection(model.sample_continuous(6, temperature=t))[0] for t in (1.0, 0.5, 0.0)}
    torch.testing.assert_close(z[0.5], 0.5 * z[1.0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(z[0.0], 0 * z[1.0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", gdl.models.__all__)
def test_the_temperature_reaches_every_model_that_samples(name: str, digits: Digits) -> None:
    torch.manual_seed(0)
    model: GenerativeModel = build_small(name, SHAPE, LEVELS).eval()
    if not isinstance(model, Samples):
        return
    x = digits.images("train")[:200]
    if isinstance(model, InitializesFromData):
        model.initialize(x)
    drawn = {
        t: tasks.sample(model, x, n=4, seed=1, temperature=t)["samples"].images.float()
        for t in (0.0, 0.7, 1.0)
    }
    assert not torch.equal(drawn[1.0], drawn[0.7])
    assert not torch.equal(drawn[0.7], drawn[0.0])


@pytest.mark.parametrize("name", gdl.models.__all__)
def test_no_two_samples_are_alike_and_each_is_that_of_its_number(
    name: str, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though they are drawn in chunks."""
    torch.manual_seed(0)
    model: GenerativeModel = build_small(name, SHAPE, LEVELS).eval()
    if not isinstance(model, Samples):
        return
    if isinstance(model, InitializesFromData):
        model.initialize(digits.images("train")[:200])
    monkeypatch.setattr(AutoregressiveModel, "SAMPLES_AT_ONCE", 2)
    n = 5 if isinstance(model, AutoregressiveModel) else 103
    drawn = model.sample(n, seed=1)
    assert len(drawn) == n
    assert len({tuple(x.flatten().tolist()) for x in drawn}) == n
    # but for the rounding of pixels, which may depend on the size of a chunk
    assert (model.sample(3, seed=1) == drawn[:3]).double().mean() > 0.95
    assert (model.sample(3, seed=2) == drawn[:3]).double().mean() < 0.95


# ---- couplings


@flows.each_flow
def test_no_pixel_is_left_alone(name: str) -> None:
    """Each latent depends on several pixels: the half that stays changes from coupling to coupling."""
    model = flows.build(name).double()
    torch.manual_seed(3)
    with torch.no_grad():
        for p in model.bijection.parameters():
            p.add_(0.1 * torch.randn_like(p))
    y = torch.rand(1, *SHAPE, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda y: model.bijection(y)[0][0], y)
    counts = (jacobian.reshape(64, 64).abs() > 1e-9).sum(1)
    if name == "gaussian":  # its whitening is triangular: the first latent is the first pixel
        counts = counts[1:]
    assert counts.min() > 1, "a latent that is a scaled pixel"
