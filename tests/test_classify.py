"""Bayes' rule as a classifier: the formula, the scores, the classifiers beside it, the picture."""

import functools
import math
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchmetrics.classification import MulticlassCalibrationError

from gdl.capabilities import Incapable
from gdl.data import Digits
from gdl.errors import GdlError
from gdl.evaluation import Host, bayes_rule, class_log_posterior, classifier
from gdl.evaluation.classification_scores import BINS, classification_scores, reliability
from gdl.evaluation.discriminative import discriminative_classifiers
from gdl.models import MADE, VAE, Autoencoder
from gdl.tasks import LazyImages, interpolate, reconstruct, traverse

SHAPE, LEVELS, CLASSES = (1, 8, 8), 17, 10


classify = functools.partial(
    bayes_rule.classify, host=Host(Path(tempfile.gettempdir(), "gdl-tests-of-classify"))
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return Digits(shape=SHAPE, levels=LEVELS, data_dir=str(tmp_path_factory.mktemp("data")))


@pytest.fixture(autouse=True)
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "MAX_STEPS", 20)


@torch.no_grad()
def conditional(kind: type, *args: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    model = kind(SHAPE, LEVELS, *args, num_classes=CLASSES, **options)
    for p in model.parameters():
        p.add_(0.05 * torch.randn_like(p))
    return model.eval()


def guesses(n: int, sharpness: float) -> tuple[Tensor, Tensor]:
    """Return log-probabilities (n, 4), with classes drawn from them where the sharpness is 1."""
    g = torch.Generator().manual_seed(0)
    log_p = torch.randn(n, 4, generator=g, dtype=torch.float64).log_softmax(1)
    y = torch.multinomial(log_p.exp(), 1, generator=g)[:, 0]
    return (sharpness * log_p).log_softmax(1), y


# ---- Bayes' rule


@pytest.mark.parametrize("size", [1.0, 1e3, 1e5])
def test_the_posterior_is_the_formula_for_nats_of_any_size(size: float) -> None:
    g = torch.Generator().manual_seed(0)
    nll = size + torch.randn(7, 3, generator=g, dtype=torch.float64)
    weights = torch.tensor([0.7, 0.1, 0.2], dtype=torch.float64)
    model: Any = SimpleNamespace(
        log_class_prior=weights.log(), class_nll=lambda x, k: nll[: len(x)]
    )
    found = class_log_posterior(model, [torch.zeros(7, 1)])
    joint = weights * (size - nll).exp()
    torch.testing.assert_close(found.exp(), joint / joint.sum(1, keepdim=True))


def test_a_class_that_is_never_seen_is_never_guessed(digits: Digits) -> None:
    model = conditional(MADE, hidden=[10])
    model.log_class_prior[4] = -math.inf
    log_p = class_log_posterior(model, [digits.images("test")[:20]])
    assert (log_p[:, 4] == -math.inf).all()
    assert (log_p.exp().sum(1) - 1).abs().max() < 1e-9


@pytest.mark.parametrize(
    ("kind", "options", "k", "name"),
    [
        (MADE, {"hidden": [10]}, 5, "exact"),
        (VAE, {}, 5, "iwae-5"),
        (VAE, {}, 1, "iwae-1"),
        (VAE, {"num_importance_samples": 3}, 1, "iwae-3"),
    ],
)
def test_the_numbers_say_whether_they_come_from_a_bound(
    kind: type, options: dict[str, Any], k: int, name: str, digits: Digits
) -> None:
    found = classify(conditional(kind, **options), digits, k=k, labels=[], limit=20)
    assert {key.partition("/")[0] for key in found} == {f"classify-{name}"}


def test_what_cannot_be_classified_is_said(digits: Digits) -> None:
    plain = MADE(SHAPE, LEVELS, hidden=[10])
    with pytest.raises(Incapable, match=r"no classes: use .* model\.conditional=true"):
        classify(plain, digits)
    with pytest.raises(Incapable, match="which Autoencoder lacks: use a run of model="):
        classify(conditional(Autoencoder), digits)
    unlabelled: Any = SimpleNamespace(labels=lambda split: None)
    with pytest.raises(Incapable, match="asks for labels of the test images"):
        classify(conditional(MADE, hidden=[10]), unlabelled)
    for labels in ([0], [-1], [1.5], ["some"]):
        with pytest.raises(GdlError, match=r"measure\.labels are whole numbers"):
            classify(conditional(MADE, hidden=[10]), digits, labels=labels, limit=5)
    with pytest.raises(GdlError, match="k of measure=classify"):
        classify(conditional(VAE), digits, k=0)


def test_test_images_without_label_do_not_count(digits: Digits) -> None:
    model, y = conditional(MADE, hidden=[10]), digits.labels("test")
    assert y is not None
    some = torch.where(torch.arange(len(y)) % 2 == 0, y, -1)
    half: Any = SimpleNamespace(
        images=lambda split: digits.images("test"),
        labels=lambda split: some if split == "test" else digits.labels(split),
        class_names=None,
    )
    every_other: Any = SimpleNamespace(
        images=lambda split: digits.images("test")[::2],
        labels=lambda split: y[::2] if split == "test" else digits.labels(split),
        class_names=None,
    )
    assert classify(model, half, labels=[]) == classify(model, every_other, labels=[])


# ---- scores


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 3.0])
def test_scores_are_what_they_are_called(sharpness: float) -> None:
    log_p, y = guesses(500, sharpness)
    found = classification_scores(log_p, y)
    right = (log_p.argmax(1) == y).double()
    losses = -log_p[torch.arange(500), y]
    assert found["accuracy"] == pytest.approx(float(right.mean()))
    assert found["accuracy_se"] == pytest.approx(float(right.std() / math.sqrt(500)))
    assert found["log_loss"] == pytest.approx(float(losses.mean()))
    assert found["log_loss_se"] == pytest.approx(float(losses.std() / math.sqrt(500)))
    expected = MulticlassCalibrationError(4, n_bins=BINS)(log_p.exp(), y)
    assert found["calibration_error"] == pytest.approx(float(expected), rel=1e-5)


def test_only_a_calibrated_classifier_has_a_small_calibration_error() -> None:
    errors = {s: classification_scores(*guesses(5000, s)) for s in (0.3, 1.0, 3.0)}
    true = errors[1.0]
    assert true["calibration_error"] < 6 * true["calibration_error_se"] < 0.06
    for s in (0.3, 3.0):
        assert errors[s]["accuracy"] == true["accuracy"]
        assert errors[s]["calibration_error"] > 0.1
        assert errors[s]["log_loss"] > true["log_loss"]


def test_the_standard_error_of_the_calibration_error_is_that_of_new_images() -> None:
    log_p, y = guesses(30_000, 3.0)
    parts = [
        classification_scores(p, c) for p, c in zip(log_p.split(500), y.split(500), strict=True)
    ]
    spread = float(torch.tensor([p["calibration_error"] for p in parts]).std())
    told = float(torch.tensor([p["calibration_error_se"] for p in parts]).mean())
    assert told == pytest.approx(spread, rel=0.35)


def test_a_reliability_diagram_of_a_calibrated_classifier_is_a_line() -> None:
    confidence, accuracy = reliability(*guesses(20_000, 1.0))
    assert len(confidence) > 5
    assert (confidence - accuracy)[2:-2].abs().max() < 0.05  # the other bins have few images
    confidence, accuracy = reliability(*guesses(20_000, 3.0))
    assert (confidence > accuracy).double().mean() > 0.7


# ---- classifiers beside it


def test_more_labels_make_better_classifiers(digits: Digits) -> None:
    y = digits.labels("test")
    every = discriminative_classifiers(digits, [1, 50, 1000, "all"], "d", 10)
    found = {p.name: (p.labels_per_class, p.log_p) for p in every}
    # no class has 1,000
    names = {f"{kind}-{n}" for kind in ("logistic", "cnn") for n in (1, 50, "all")}
    assert set(found) == names
    assert found["cnn-all"][0] == 130
    assert found["logistic-1"][0] == 1
    accuracy = {n: float((p.argmax(1) == y).double().mean()) for n, (_, p) in found.items()}
    assert (
        0.3 < accuracy["logistic-1"] < accuracy["logistic-50"] <= accuracy["logistic-all"] + 0.02
    )
    for _, p in found.values():
        torch.testing.assert_close(p.exp().sum(1), torch.ones(297).double())


def test_a_picture_is_written_where_it_is_asked_for(digits: Digits, tmp_path: Path) -> None:
    model = conditional(MADE, hidden=[10])
    numbers = classify(model, digits, labels=[3, "all"], limit=100, host=Host(tmp_path / "new"))
    with Image.open(tmp_path / "new" / "classify.png") as picture:
        assert picture.size[0] > 1000
        assert len(picture.convert("RGB").getcolors(10**6)) > 50
    assert classify(model, digits, labels=[3, "all"], limit=100) == numbers


# ---- labels of tasks


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_tasks_take_the_labels_of_the_images_or_the_one_that_is_asked_for(
    kind: type, digits: Digits
) -> None:
    model = conditional(kind)
    x = LazyImages(lambda: digits.images("test"), lambda: digits.labels("test"))
    images, y = x[:4], digits.labels("test")[:4]  # type: ignore[index]
    z = model.encode(images, y)
    found = reconstruct(model, x, n=4)["reconstructions"][1]
    torch.testing.assert_close(found, model.decode(z, y))
    found = reconstruct(model, x, n=4, label=3)["reconstructions"][1]
    torch.testing.assert_close(found, model.decode(z, torch.full((4,), 3)))
    walk = interpolate(model, x, pairs=2, steps=5)["moving_interpolation"]
    torch.testing.assert_close(walk[:, 0], model.decode(z[0::2], y[0::2]))
    torch.testing.assert_close(walk[:, -1], model.decode(z[1::2], y[1::2]))
    grid = interpolate(model, x, steps=4, grid=True)["interpolation_grid"]
    corners = torch.stack([grid[i, j] for i in (0, -1) for j in (0, -1)])
    torch.testing.assert_close(corners, model.decode(z, y))
    rows = traverse(model, x, index=2, units=2, steps=3, label=5)["traversal"].images
    assert rows.shape[:2] == (2, 4)
    other = traverse(model, x, index=2, units=2, steps=3)["traversal"].images
    assert not torch.allclose(rows, other)
    for task in (reconstruct, interpolate, traverse):
        with pytest.raises(GdlError, match=r"set task\.label to one of 0 to 9"):
            task(model, digits.images("test"))
        with pytest.raises(GdlError, match="label=10 is no class"):
            task(model, x, label=10)
