"""Distances against closed forms, and the classifier that they are measured with."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gdl.capabilities import HasLatents
from gdl.data.digits import Digits
from gdl.errors import GdlError
from gdl.evaluation import classifier
from gdl.evaluation.classifier import Classifier, classifier_for
from gdl.evaluation.feature_distances import (
    distances,
    fit_mixture,
    frechet_distance,
    kernel_distance,
)
from gdl.families.base import GenerativeModel
from gdl.models.autoencoder import Autoencoder
from gdl.models.vae import VAE
from gdl.nn.mlp import MLPDecoder, MLPEncoder

SHAPE, LEVELS, NAME = (1, 8, 8), 17, "cnn-digits"
D = 6


def optimizer(params: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(params)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Digits:
    """Digits whose data folder has the classifier, trained once."""
    found = Digits(shape=SHAPE, levels=LEVELS, data_dir=str(tmp_path_factory.mktemp("data")))
    classifier_for(found, NAME)
    return found


def kept(data: Digits) -> Path:
    return data.data_dir / "classifiers" / f"{NAME}.pt"


@pytest.fixture
def trainings(monkeypatch) -> list[int]:
    """Make training short; the list grows by one with each."""
    monkeypatch.setattr(classifier, "MAX_STEPS", 3)
    calls, train = [], classifier._train
    monkeypatch.setattr(classifier, "_train", lambda *a: calls.append(1) or train(*a))
    return calls


@pytest.fixture
def copy(data, tmp_path) -> Digits:
    """The same digits with a data folder of their own, and a copy of the classifier there."""
    found = Digits(shape=SHAPE, levels=LEVELS, data_dir=str(tmp_path))
    kept(found).parent.mkdir()
    kept(found).write_bytes(kept(data).read_bytes())
    return found


def autoencoder(kind: type = Autoencoder, dim: int = 4) -> Any:
    torch.manual_seed(0)
    encoder = lambda shape, out: MLPEncoder(shape, out, [32], "silu", False)  # noqa: E731
    decoder = lambda dim, shape: MLPDecoder(dim, shape, [32], "silu", False)  # noqa: E731
    return kind(SHAPE, LEVELS, dim, encoder, decoder).eval()


def whitened(n: int, seed: int) -> Tensor:
    """Return n points with mean exactly 0 and sample covariance exactly I."""
    x = torch.randn(n, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x = x - x.mean(0)
    return torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(x.T)), x.T, upper=False).T


def random_matrix(seed: int) -> Tensor:
    return torch.randn(D, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# ---- distances


def test_frechet_distance_of_commuting_gaussians() -> None:
    # Tr(S_a + S_b - 2 (S_a S_b)^(1/2)) = sum_j (sigma_aj - sigma_bj)^2 for diagonal covariances
    std_a, std_b = torch.linspace(0.5, 3, D).double(), torch.linspace(2, 1, D).double()
    shift = torch.arange(D).double()
    found = frechet_distance(whitened(50, 0) * std_a, whitened(70, 1) * std_b + shift)
    expected = float(shift.square().sum() + (std_a - std_b).square().sum())
    assert found == pytest.approx(expected, rel=1e-10)


def test_frechet_distance_of_other_gaussians() -> None:
    # the trace of the root is the sum of the roots of the eigenvalues of the product S_a S_b
    a, b = whitened(50, 0) @ random_matrix(2), whitened(70, 1) @ random_matrix(3) + 1
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    roots = torch.linalg.eigvals(cov_a @ cov_b).real.sqrt().sum()
    expected = float(D + cov_a.trace() + cov_b.trace() - 2 * roots)
    assert not torch.allclose(cov_a @ cov_b, cov_b @ cov_a)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [50, D - 2], ids=["full rank", "singular"])
def test_frechet_distance_of_a_set_from_itself(n: int) -> None:
    x = 30 * random_matrix(4)[:n] if n < D else whitened(n, 0) @ random_matrix(4)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-8)


def test_distances_do_not_depend_on_rotation_and_order() -> None:
    a, b = whitened(50, 0) @ random_matrix(2), whitened(70, 1) @ random_matrix(3) + 1
    q = torch.linalg.qr(random_matrix(5)).Q
    for distance in (frechet_distance, kernel_distance):
        expected = distance(a, b)
        assert expected > 0
        assert distance(a @ q, b @ q) == pytest.approx(expected, rel=1e-9)
        assert distance(b, a.flip(0)) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_by_hand() -> None:
    # k(x, y) = (x y + 1)^3 in one dimension; pairs of distinct points within a set
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0], [0.0]])
    within_b = (27 + 1 + 1) / 3
    between = (1 + 1 + 1 + 8 + 27 + 1) / 6
    assert kernel_distance(a, b) == pytest.approx(1 + within_b - 2 * between)


def test_kernel_distance_is_unbiased() -> None:
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(20, D, generator=generator)  # noqa: E731
    found = torch.tensor([kernel_distance(draw(), draw()) for _ in range(400)])
    error = float(found.std() / math.sqrt(len(found)))
    assert abs(float(found.mean())) < 4 * error
    biased = 2 * 6 / 20 / 4  # the diagonal would add more than this
    assert error < biased / 10


# ---- the classifier


def test_it_knows_the_digits_and_is_small(data: Digits) -> None:
    _, accuracy = classifier_for(data, NAME)
    assert accuracy > 0.95
    assert kept(data).stat().st_size < 1_000_000


@torch.no_grad()
def test_its_accuracy_is_that_on_the_test_images(data: Digits) -> None:
    model, accuracy = classifier_for(data, NAME)
    right = {s: (model(data.images(s)).argmax(1) == data.labels(s)) for s in ("train", "test")}
    assert accuracy == pytest.approx(float(right["test"].double().mean()))
    assert not right["test"].all()
    assert float(right["train"].double().mean()) != accuracy


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 64, 64), (3, 20, 28)])
def test_size_and_features(shape: tuple[int, ...]) -> None:
    model = Classifier(shape, 256, 10).eval()
    x = torch.randint(256, (2, *shape), dtype=torch.uint8)
    assert sum(p.nbytes for p in model.parameters()) < 1_000_000
    assert model.features(x).shape == (2, 128)
    assert torch.equal(model.features(x), model.features(x.float()))
    assert model(x).shape == (2, 10)


def test_the_file_is_used(copy: Digits, trainings: list[int]) -> None:
    state = torch.get_rng_state()
    (first, accuracy), (second, again) = classifier_for(copy, NAME), classifier_for(copy, NAME)
    assert not trainings
    assert accuracy == again > 0.95
    x = copy.images("test")
    assert torch.equal(first.features(x), second.features(x))
    assert torch.equal(state, torch.get_rng_state())


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip_one_byte(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut_off, flip_one_byte, lambda _: b"", lambda _: b"text"])
def test_a_damaged_file_is_replaced(copy: Digits, trainings: list[int], damage: Any) -> None:
    kept(copy).write_bytes(damage(kept(copy).read_bytes()))
    model, accuracy = classifier_for(copy, NAME)
    assert len(trainings) == 1
    again, same = classifier_for(copy, NAME)
    assert len(trainings) == 1
    assert accuracy == same
    assert all(
        torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters(), strict=True)
    )


def test_a_stale_file_is_replaced(copy: Digits, trainings: list[int], monkeypatch) -> None:
    monkeypatch.setattr(classifier, "VERSION", classifier.VERSION + 1)
    classifier_for(copy, NAME)
    assert len(trainings) == 1


def test_a_file_of_other_images_is_replaced(copy: Digits, trainings: list[int]) -> None:
    other = Digits(shape=SHAPE, levels=LEVELS, data_dir=str(copy.data_dir), split_seed=1)
    classifier_for(other, NAME)
    assert len(trainings) == 1


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, trainings: list[int]) -> None:
    (tmp_path / "classifiers").write_text("a file where the folder should be")
    data = Digits(shape=SHAPE, levels=LEVELS, data_dir=str(tmp_path))
    with pytest.warns(UserWarning, match="not kept"):
        classifier_for(data, NAME)


def test_data_without_labels_names_data_with_them(copy: Digits, monkeypatch) -> None:
    monkeypatch.setattr(copy, "labels", lambda split: None)
    with pytest.raises(GdlError, match=r"no labels.*use a model of mnist"):
        distances(autoencoder(), copy)


# ---- distances of a model


def test_a_model_without_latents_is_an_error(data: Digits) -> None:
    class Constant(GenerativeModel):
        def loss(self, x: Tensor) -> dict[str, Tensor]:
            return {"loss": x.flatten(1).double().sum(1)}

    with pytest.raises(
        GdlError, match=r"which Constant lacks: use a run of model=ae, .* or vae\."
    ):
        distances(Constant(SHAPE, LEVELS), data)


@pytest.mark.parametrize("kind", [Autoencoder, VAE])
def test_distances_of_an_untrained_model(data: Digits, kind: type, trainings: list[int]) -> None:
    found = distances(autoencoder(kind), data, NAME, 0)
    sets = {"reconstructions", "prior_samples", "mixture_samples", "train"}
    expected = {f"{d}-{NAME}/{s}" for d in ("fd", "kd") for s in sets}
    assert set(found) == expected | {f"{NAME}/accuracy", f"{NAME}/num_images"}
    assert all(math.isfinite(v) for v in found.values())
    assert found[f"{NAME}/num_images"] == 297
    for distance in ("fd", "kd"):
        train = found.pop(f"{distance}-{NAME}/train")
        assert all(v > 2 * train for k, v in found.items() if k.startswith(distance))
    assert not trainings


def test_seed_and_seed_alone_decides(data: Digits) -> None:
    model = autoencoder()
    first = distances(model, data, NAME, 1)
    torch.rand(3)
    assert distances(model, data, NAME, 1) == first
    other = distances(model, data, NAME, 2)
    same = {f"fd-{NAME}/reconstructions", f"kd-{NAME}/reconstructions"}
    same |= {f"{NAME}/accuracy", f"{NAME}/num_images"}
    assert {k for k in first if first[k] == other[k]} == same


class Identity(Autoencoder):
    """Codes are pixels, far from N(0, I), and nothing is lost."""

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1).to(self.dtype)

    def decode(self, z: Tensor) -> Tensor:
        return z.view(-1, *SHAPE).clamp(0, LEVELS - 1)


def test_a_lossless_autoencoder_reconstructs_and_cannot_be_sampled(data: Digits) -> None:
    model = autoencoder(Identity, 64)
    assert isinstance(model, HasLatents)
    found = distances(model, data, NAME, 0)
    fd = {k.split("/")[1]: v for k, v in found.items() if k.startswith("fd-")}
    assert fd["reconstructions"] == pytest.approx(0, abs=1e-4)
    assert fd["prior_samples"] > 3 * fd["mixture_samples"]


def test_the_mixture_finds_clusters_of_any_scale() -> None:
    corners = torch.cartesian_prod(torch.tensor([-1.0, 1.0]), torch.tensor([-1.0, 1.0]))
    for scale in (1e-6, 1e6):
        generator = torch.Generator().manual_seed(0)
        noise = 0.05 * torch.randn(4, 200, 2, generator=generator)
        codes = (corners[:, None] + noise).flatten(0, 1) * scale
        draws = fit_mixture(codes, 500, 0)
        assert draws.shape == (500, 2)
        assert draws.dtype == codes.dtype
        near = torch.cdist(draws / scale, corners).argmin(1).bincount()
        assert (near > 60).all()
        assert float((draws.abs() / scale - 1).abs().max()) < 0.3
