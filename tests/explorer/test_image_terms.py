"""The page's terms of an image are those of the model: error, rate, and distortion over draws."""

import math

import pytest
import torch
from in_browser import open_model, open_modules, plain
from page_models import build, images_of

from gdl.distributions import gaussian_kl
from gdl.explorer.programs import label_rows, programs

DRAWS = 8


@pytest.fixture(scope="module")
def tab(chromium):
    tab = open_modules(chromium)
    yield tab
    tab.close()


@pytest.mark.parametrize(
    "row",
    [
        ("VAE", "mlp", "digits", "logistic", ""),
        ("VAE", "conv", "rgb", "mixture", "labels"),
        ("IWAE", "mlp", "binary", "bernoulli", "labels or none"),
        ("Autoencoder", "mlp", "bytes", None, "labels"),
        ("masks", "conv", "digits", None, ""),
    ],
    ids=str,
)
def test_terms_of_an_image(tab, row):
    model = build(*row)
    open_model(tab, model, *programs(model))
    x, y = images_of(model, 1)
    rows, labels = label_rows(model, y, 1), [] if y is None else [y]
    label = int(rows["y"]) if rows else None
    found = tab.evaluate("([x, y]) => terms_of(x, y)", [plain(x), label])
    with torch.inference_mode():
        codes = model.encode(x, *labels)
        error = ((model.decode(codes, *labels) - x) / (model.levels - 1)).square().mean()
    assert found["squared_error"] == pytest.approx(float(error), rel=1e-2)
    assert found["psnr"] == pytest.approx(-10 * math.log10(error), abs=0.05)
    if not hasattr(model, "posterior"):
        assert found["rate"] is None
        assert found["distortion"] is None
        return
    noise = torch.tensor(tab.evaluate("n => draws_of(0, n)", DRAWS * codes.numel()))
    with torch.inference_mode():
        mean, log_std = model.posterior(x, *labels)
        z = mean + log_std.exp() * noise.view(DRAWS, 1, -1)
        nats = -model.log_joint(x, z, *labels)[0].mean()
    assert found["rate"] == pytest.approx(float(gaussian_kl(mean, log_std).sum()), rel=1e-2)
    assert found["distortion"] == pytest.approx(float(nats), rel=2e-3)


def test_rate_of_each_latent(tab):
    mean, log_std = torch.randn(50), torch.cat([torch.linspace(-9, 3, 49), torch.zeros(1)])
    found = tab.evaluate("([m, s]) => rate_of(m, s)", [mean.tolist(), log_std.tolist()])
    own = gaussian_kl(mean.double(), log_std.double())
    each = torch.tensor(found["each"], dtype=torch.float64)
    torch.testing.assert_close(each, own, rtol=1e-6, atol=1e-7)
    assert found["total"] == pytest.approx(float(own.sum()))


def test_noise_is_normal_and_depends_on_the_seed_only(tab):
    draws = [torch.tensor(tab.evaluate("s => draws_of(s, 20000)", s)) for s in (0, 0, 1)]
    assert draws[0].equal(draws[1])
    assert not draws[0].equal(draws[2])
    z = draws[0]
    moments = [float(z.pow(k).mean()) for k in (1, 2, 3, 4)]
    assert moments[:2] == pytest.approx([0, 1], abs=0.03)
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.3)
    assert abs(float((z[1:] * z[:-1]).mean())) < 0.03
    assert abs(float((z * draws[2]).mean())) < 0.03
