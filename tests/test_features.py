"""What a model says of images as a vector, and the probes that are asked what it is worth."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gdl.capabilities import HasFeatures, Incapable
from gdl.data import Digits
from gdl.data.labels import keep_labels
from gdl.evaluation import Host, features
from gdl.evaluation.linear_probe import linear_probe
from gdl.evaluation.neighbours import nearest_labels, vote
from gdl.evaluation.probing import _scales, _with_error
from gdl.evaluation.representations import pixels, principal_components, vectors
from gdl.models import FVSBN, MADE, NADE, VAE, Autoencoder, PixelCNN, PixelCNNpp, Transformer
from gdl.runs.features_table import features_table
from gdl.runs.metrics import checked_metrics

SHAPE, LEVELS = (1, 8, 8), 17


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Digits:
    return Digits(shape=SHAPE, levels=LEVELS, data_dir=str(tmp_path_factory.mktemp("data")))


# ---- features of the families

HIDDEN: dict[str, tuple[Any, int]] = {
    "made": (partial(MADE, hidden=[20, 12]), 12),
    "made of several masks": (partial(MADE, hidden=[12], num_masks=3, order="random"), 12),
    "nade": (partial(NADE, hidden=9), 9),
    "pixelcnn": (partial(PixelCNN, width=8, layers=1, hidden=6), 8),
    "pixelcnn_pp": (partial(PixelCNNpp, width=8), 8),
    "transformer": (partial(Transformer, width=8, blocks=1), 8),
    "vae": (partial(VAE, latent_dim=5), 5),
}


@torch.no_grad()
def build(name: str, shape: tuple[int, ...] = SHAPE, **options: Any) -> Any:
    torch.manual_seed(0)
    model = HIDDEN[name][0](shape, LEVELS, **options)
    for p in model.parameters():
        p.add_(0.1 * torch.randn_like(p))
    return model.eval()


@pytest.mark.parametrize("shape", [SHAPE, (3, 4, 6)], ids=str)
@pytest.mark.parametrize("name", HIDDEN)
@torch.no_grad()
def test_features_are_one_vector_of_each_image(name: str, shape: tuple[int, ...]) -> None:
    model = build(name, shape)
    x = torch.randint(LEVELS, (6, *shape), dtype=torch.uint8)
    found = model.features(x)
    assert isinstance(model, HasFeatures)
    assert found.shape == (6, HIDDEN[name][1])
    assert found.isfinite().all()
    # of each by itself, and not of its neighbours in the batch
    torch.testing.assert_close(found[2:3], model.features(x[2:3]))
    assert (found.std(0) > 0).any()
    torch.testing.assert_close(vectors(model, x, batch_size=4), found)


@pytest.mark.parametrize("name", [n for n in HIDDEN if n != "made of several masks"])
@torch.no_grad()
def test_a_model_that_was_trained_without_labels_too_has_features_without(name: str) -> None:
    model = build(name, num_classes=3, label_dropout=0.5)
    x = torch.randint(LEVELS, (4, *SHAPE), dtype=torch.uint8)
    before = model.features(x)
    for key, p in model.named_parameters():
        if "class" in key and p.dim() > 1 and len(p) == 4:
            p[:3] += 1  # what belongs to the classes
    torch.testing.assert_close(model.features(x), before)


@torch.no_grad()
def test_the_last_hidden_layer_is_the_one_that_gives_the_parameters() -> None:
    x = torch.randint(LEVELS, (4, *SHAPE), dtype=torch.uint8)
    made: Any = build("made")
    s = made.sequence(x)
    out = made.layers[-1](made.features(x), made.bias.flatten(), made.layers[-1].weight)
    torch.testing.assert_close(out.unflatten(1, made.bias.shape), made.params(s))
    # one more column than the hidden layer of the last position
    nade: Any = build("nade")
    last = nade.sequence(x).clone()
    last[:, -1] = 0
    hidden = nade.features(nade.image(last))
    out = hidden @ nade.output[-1].T + nade.bias[-1]
    torch.testing.assert_close(out, nade.params(nade.sequence(x))[:, -1])


def test_what_has_no_hidden_layer_has_no_features() -> None:
    assert not isinstance(FVSBN(SHAPE, LEVELS), HasFeatures)


# ---- neighbours


def test_equal_votes_go_to_the_nearer_class() -> None:
    nearest = torch.tensor([[2, 1, 1, 2], [1, 2, 2, 0], [0, 1, 2, 3]])
    assert vote(nearest, 4, 4).tolist() == [2, 2, 0]
    assert vote(nearest, 1, 4).tolist() == [2, 1, 0]


@pytest.mark.parametrize("itself", [False, True])
def test_neighbours_are_the_nearest_and_not_the_vector_itself(itself: bool) -> None:
    torch.manual_seed(0)
    v = torch.randn(30, 3)
    among = v if itself else torch.randn(50, 3)
    labels = torch.arange(len(among))
    found = nearest_labels(v, among, labels, 5, itself, chunk=7)
    for i in range(len(v)):
        order = (among - v[i]).square().sum(1).argsort().tolist()
        order = [j for j in order if not (itself and j == i)]
        assert found[i].tolist() == order[:5]


# ---- probes


def codes(y: Tensor, noise: float) -> Tensor:
    """Return vectors that hold the class, rotated, in noise, and one constant."""
    torch.manual_seed(1)
    rotation = torch.linalg.qr(torch.randn(12, 12))[0]
    v = torch.nn.functional.one_hot(y, 12).float() + noise * torch.randn(len(y), 12)
    return torch.cat([v @ rotation, torch.full((len(y), 1), 0.3)], 1)


@pytest.mark.parametrize(("noise", "low", "high"), [(0.0, 1, 1), (0.1, 0.99, 1), (1e4, 0, 0.2)])
def test_a_linear_probe_finds_what_is_linear_and_nothing_in_noise(
    noise: float, low: float, high: float
) -> None:
    y = torch.randint(10, (900,), generator=torch.Generator().manual_seed(0))
    v = codes(y, noise)
    parts = [(v[part], y[part]) for part in (slice(300), slice(300, 600))]
    found = linear_probe(*parts, v[600:], _scales(v[:300]))
    assert low <= float((found == y[600:]).double().mean()) <= high


class Pixels(Autoencoder):
    """Says of an image its pixels."""

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x.flatten(1) / (LEVELS - 1)


class Noise(Autoencoder):
    """Says of an image something else each time."""

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return torch.randn(len(x), 6)


def measured(model: Any, data: Digits, tmp_path: Path, **options: Any) -> dict[str, float]:
    return features(model.eval(), data, host=Host(tmp_path), **options)


def test_a_model_that_says_the_pixels_is_worth_what_the_pixels_are(
    digits: Digits, tmp_path: Path
) -> None:
    found = measured(Pixels(SHAPE, LEVELS, 2), digits, tmp_path, labels=[10])
    of = lambda name: {  # noqa: E731
        k.split("/")[1]: v for k, v in found.items() if k.startswith(f"features-{name}/")
    }
    assert of("model") == of("pixels")
    assert not of("pca"), "as many components as pixels are the pixels again"
    assert of("model")["dims"] == 64
    # of the training images of other writers, a tenth; all of them give 0.95
    assert 0.7 < of("model")["linear-10"] < 0.95
    assert 0.75 < of("model")["knn-10"] < 0.95
    assert 0.01 < of("model")["knn-10_se"] < 0.06
    assert (tmp_path / "features.png").stat().st_size > 10_000


def test_noise_is_worth_nothing_beside_its_controls(digits: Digits, tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = measured(Noise(SHAPE, LEVELS, 6), digits, tmp_path, labels=["all", 10_000])
    assert not any("10000" in key for key in found), "no class has so many labels"
    for probe in ("linear-all", "knn-all"):
        assert found[f"features-model/{probe}"] < 0.2
        assert found[f"features-pca/{probe}"] > 0.75
        assert found[f"features-pixels/{probe}"] > found[f"features-pca/{probe}"]
    assert found["features-pca/dims"] == found["features-model/dims"] == 6


def test_the_error_is_of_images_and_of_draws() -> None:
    torch.manual_seed(0)
    right = (torch.rand(1, 400) < 0.8).double()
    p, error = _with_error(right)
    assert error == pytest.approx((p * (1 - p) / 400) ** 0.5, rel=0.01)
    same = _with_error(right.expand(3, -1))
    assert same == pytest.approx((p, error))
    apart = _with_error(torch.stack([right[0], right[0] * 0, right[0]]))
    assert apart[1] > 0.2


def test_active_features_are_those_that_vary(digits: Digits, tmp_path: Path) -> None:
    class Half(Autoencoder):
        def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            v = x.flatten(1)[:, 20:26].float()
            return v * torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 1e-3])

    found = measured(Half(SHAPE, LEVELS, 6), digits, tmp_path, labels=["all"], limit=100)
    assert found["features-model/active_units"] == 3
    assert found["features-model/dims"] == 6


@pytest.mark.parametrize("option", ["labels", "draws", "num_train", "limit"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "ten"])
def test_a_number_of_labels_or_images_is_checked(
    option: str, value: Any, digits: Digits, tmp_path: Path
) -> None:
    options = {option: [value] if option == "labels" else value}
    with pytest.raises(ValueError, match=f"{option}.* must be a whole number of at least 1"):
        measured(Pixels(SHAPE, LEVELS, 2), digits, tmp_path, **options)


def test_features_that_know_the_label_are_refused(digits: Digits, tmp_path: Path) -> None:
    model = VAE(SHAPE, LEVELS, 4, num_classes=10)
    with pytest.raises(Incapable, match=r"do not know the label.*model\.conditional=false"):
        measured(model, digits, tmp_path)


def test_training_images_without_label_teach_nothing(tmp_path: Path) -> None:
    few = Digits(shape=SHAPE, levels=LEVELS, data_dir=str(tmp_path), labels_per_class=3)
    options = {"labels": [3, 10, "all"], "limit": 50}
    found = measured(Pixels(SHAPE, LEVELS, 2), few, tmp_path, **options)
    assert {k.partition("/")[2] for k in found if "linear" in k and not k.endswith("_se")} == {
        "linear-3",
        "linear-all",
    }
    labels = few.labels("train")
    assert labels is not None
    assert int((keep_labels(labels, 3, 5) >= 0).sum()) == 30


# ---- their table


def test_the_table_has_a_row_for_each_number_of_labels(digits: Digits, tmp_path: Path) -> None:
    found = measured(Noise(SHAPE, LEVELS, 6), digits, tmp_path, labels=[5, "all"], limit=50)
    table = features_table({"model": "ae", **json.loads(json.dumps(found))})
    assert table is not None
    assert table.row_count == 6
    assert features_table({"test/mse": 1.0}) is None
    assert checked_metrics(found, tmp_path) == found
    with pytest.raises(ValueError, match="is damaged"):
        checked_metrics({"features-model/linear-5": "high"}, tmp_path)


def test_components_are_those_of_the_least_error(digits: Digits) -> None:
    v = pixels(digits.images("train"), LEVELS)
    components = principal_components(v, 5)
    values = torch.linalg.svdvals((v - v.mean(0)).double())
    error = (components.decode(components.encode(v)) - v).double().square().sum()
    assert float(error) == pytest.approx(float(values[5:].square().sum()), rel=1e-5)
