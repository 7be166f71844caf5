"""What a page cannot run is told in one sentence before a page is written, and nothing else passes."""

import re
from types import SimpleNamespace

import pytest
import torch
from page_models import build, images_of
from small_models import build_small
from torch import nn

from gdl import models
from gdl.capabilities import HasLatents, InitializesFromData, Samples
from gdl.errors import GdlError
from gdl.explorer import Subject
from gdl.explorer.layers import Inexpressible
from gdl.explorer.programs import check, programs
from gdl.models import VAE, Autoencoder
from gdl.nn.mlp import MLPEncoder

DATA = [((1, 8, 8), 2), ((1, 8, 8), 17), ((3, 8, 8), 32), ((2,), None)]
SERVE = "gdl explore --serve"


def refusal(model, x=None, y=None):
    """Return why a page cannot run a model, one sentence; None where it can."""
    try:
        graphs, weights = programs(model)
        x, y = images_of(model, 6) if x is None else (x, y)
        check(model, graphs, weights, x, y)
    except GdlError as e:
        said = str(e)
    else:
        return None
    assert re.fullmatch(r"[A-Z].*[^.]\.", said)
    assert not re.search(r"\. [A-Z]", said)
    return said


@pytest.mark.parametrize("name", models.__all__)
@pytest.mark.parametrize("data", DATA, ids=str)
@pytest.mark.parametrize("labels", [{}, {"num_classes": 3}], ids=["", "labels"])
def test_each_model_agrees_or_says_why_not(name, data, labels):
    torch.manual_seed(0)
    try:
        model = build_small(name, *data, **labels).eval()
    except (GdlError, TypeError):
        pytest.skip("there is no such model")
    x, y = images_of(model, 6) if model.levels else (torch.randn(6, *model.shape), None)
    if isinstance(model, InitializesFromData):
        model.initialize(x)
    said = refusal(model, x, y)
    if name in ("Autoencoder", "VAE", "BetaTCVAE", "FactorVAE"):
        assert said is None
    elif said is not None:
        # Python can decode where there are latents, and draw samples elsewhere
        assert (SERVE in said) == isinstance(model, HasLatents | Samples)
        assert "model=" in said or SERVE in said or "U-Net" in said


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class OwnDecode(Autoencoder):
    def decode(self, z, y=None):
        # only far from all codes
        return super().decode(z.clamp(-100, 100), y)


class OwnPosterior(VAE):
    def posterior(self, x, y=None):
        mean, log_std = super().posterior(x, y)
        return mean, log_std.clamp(-1, 1)


class OwnScale(VAE):
    def scale(self, x):
        return super().scale(x).clamp(-0.9, 0.9)


class OwnEncoder(MLPEncoder):
    pass


class OwnLoss(VAE):
    def terms(self, x, y):
        return {name: 2 * term for name, term in super().terms(x, y).items()}


@pytest.mark.parametrize("kind", [OwnDecode, OwnPosterior, OwnScale])
def test_a_class_with_a_method_of_its_own_is_refused(kind):
    said = refusal(kind((1, 8, 8), 17).eval())
    assert SERVE in said
    assert kind.__name__ in said


def test_a_class_with_a_loss_of_its_own_is_not():
    assert refusal(OwnLoss((1, 8, 8), 17).eval()) is None


def test_networks_and_likelihoods_of_another_class_are_refused():
    assert SERVE in refusal(VAE((1, 8, 8), 17, encoder=OwnEncoder).eval())
    model = VAE((1, 8, 8), 17).eval()
    model.decoder.net[0] = Doubled(32, 200)
    assert SERVE in refusal(model)
    model = VAE((1, 8, 8), 17).eval()
    model.likelihood.__class__ = type("Own", (type(model.likelihood),), {})
    assert SERVE in refusal(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "decode", lambda z, y=None: 0.9 * type(m).decode(m, z, y)),
        lambda m: setattr(m, "encode", lambda x, y=None: type(m).encode(m, x, y) + 0.1),
    ],
)
def test_a_model_that_computes_something_else_is_refused(change):
    model = build("Autoencoder", "mlp", "digits", labels="labels")
    assert refusal(model) is None
    change(model)
    assert SERVE in refusal(model)


def test_distortions_are_compared_too():
    model = build("VAE", "mlp", "digits", "gaussian")
    own = model.likelihood.log_prob
    model.likelihood.log_prob = lambda params, x: 1.001 * own(params, x)
    assert SERVE in refusal(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_numbers_that_are_not_finite_are_refused(value):
    model = build("VAE", "mlp", "digits", "logistic")
    model.encoder[1].weight.data[0] = value
    assert refusal(model) is not None


def test_a_model_that_needs_more_than_16_bits_is_refused(monkeypatch):
    monkeypatch.setattr("gdl.explorer.weights.SMALL_MODEL", 0)
    model = build("Autoencoder", "mlp", "bytes")
    for p in model.decoder.parameters():
        p.data *= 10  # some pixels are black or white by a hair
    assert "16 bits" in refusal(model)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("known", ["all", "some", "none", "no labels"])
def test_images_without_a_label(dropout, known):
    model = Autoencoder((1, 2, 2), 17, 2, num_classes=3, label_dropout=dropout).eval()
    labels = {"all": [0, 1, 2, 1], "some": [-1, 1, -1, 2], "none": [-1] * 4}.get(known)
    x = torch.arange(16, dtype=torch.uint8).reshape(4, 1, 2, 2)
    labels = None if labels is None else torch.tensor(labels)
    data = SimpleNamespace(
        images=lambda _: x, labels=lambda _: labels, num_classes=3, class_names=("a", "b")
    )
    subject = Subject(None, model, data)
    assert subject.class_names == ["a", "b", "2"]
    if known in ("none", "no labels") and not dropout:
        with pytest.raises(GdlError, match=r"model.label_dropout=0.1\.$"):
            _ = subject.images
        return
    expected = [1, 3] if known == "some" and not dropout else [0, 1, 2, 3]
    assert subject.images.tolist() == x[expected].tolist()
    assert subject.posterior[0].shape == (len(expected), 2)
    assert refusal(model, subject.images, subject.labels) is None


def test_a_model_beyond_the_page_is_inexpressible():
    with pytest.raises(Inexpressible, match="--serve"):
        programs(build_small("Glow", (3, 8, 8), 32))
