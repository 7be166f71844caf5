"""Programs compute what their model does, in a browser: for every family, network and likelihood."""

import pytest
import torch
from in_browser import open_model, open_modules, plain_values
from page_models import all_rows, build, images_of

from gdl.explorer.programs import check, label_rows, programs
from gdl.explorer.weights import rounded


@pytest.fixture(scope="module")
def tab(chromium):
    tab = open_modules(chromium)
    yield tab
    tab.close()


@pytest.fixture(autouse=True)
def half_precision(monkeypatch):
    """Weights of small models are in 16 bits, as those of large ones are."""
    monkeypatch.setattr("gdl.explorer.weights.SMALL_MODEL", 0)


def run(tab, program, **values):
    found = tab.evaluate("([p, v]) => run_program(p, v)", [program, plain_values(values)])
    return {k: torch.tensor(v["data"]).reshape(v["shape"]) for k, v in found.items()}


def compare(tab, row, n=100):
    model = build(*row)
    graphs, weights = programs(model)
    torch.manual_seed(1)
    (x, y), z = images_of(model, n), torch.randn(n, *model.latent_shape)
    check(model, graphs, weights, x[:8], None if y is None else y[:8])
    open_model(tab, model, graphs, weights)
    rows, labels = label_rows(model, y, n), [] if y is None else [y]
    with torch.inference_mode():
        image, codes = model.decode(z, *labels), model.encode(x, *labels)
        own = {"mean": codes}
        if hasattr(model, "posterior"):
            own["log_std"] = model.posterior(x, *labels)[1]
    found = run(tab, "encode", x=x, **rows)
    assert found.keys() == own.keys()
    for name, value in own.items():
        assert float((found[name] - value).abs().max() / value.abs().max()) <= 1e-2
    decoded = run(tab, "decode", z=z, **rows)["image"]
    assert float((decoded - image).abs().max()) * 255 / (model.levels - 1) <= 2
    # else any decoder would do
    assert float(image.std(0).max()) > 0.02 * (model.levels - 1)
    if "distortion" in graphs:
        values = {"x": x, "z": z, **rows}
        found = run(tab, "distortion", **values)["distortion"]
        rounds = graphs["distortion"].run(values, rounded(weights.tensors))["distortion"]
        torch.testing.assert_close(found, rounds, rtol=1e-4, atol=1e-3)
        with torch.inference_mode():
            nats = -model.log_joint(x, z, *labels)[0]
        assert float((found - nats).abs().mean() / nats.mean()) <= 1e-3


FAST = [
    ("Autoencoder", "mlp", "digits", None, ""),
    ("Autoencoder", "conv", "rgb", None, "labels"),
    ("VAE", "mlp", "binary", "bernoulli", "labels or none"),
    ("VAE", "conv", "digits", "logistic", ""),
    ("VAE", "conv_patch", "rgb", "gaussian", "labels"),
    ("IWAE", "mlp", "digits", "categorical", ""),
    ("BetaTCVAE", "mlp", "bytes", "learned", "labels"),
    ("FactorVAE", "conv", "bytes", "mixture", "labels or none"),
    ("DenoisingAutoencoder", "mlp", "digits", None, ""),
    ("masks", "conv_patch", "rgb", None, ""),
]
"""Each family, network, likelihood and kind of labels at least once."""


@pytest.mark.parametrize("row", FAST, ids=str)
def test_the_browser_computes_what_the_model_does(tab, row):
    compare(tab, row)


@pytest.mark.slow
@pytest.mark.parametrize("row", all_rows(), ids=str)
def test_every_combination(tab, row):
    compare(tab, row, n=20)


def test_the_sample_has_every_part():
    for column in range(5):
        assert {row[column] for row in FAST} == {row[column] for row in all_rows()}
